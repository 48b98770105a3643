"""What scripts do to models, one file for each kind; `tests/scripts/registry.py` lists them."""
