"""Every model family and every feature of the pipelines, on every engine, against plain torch.

`catalog.py` has the words (family, feature, case), `models/` and `cases/` have the things
themselves, `judging.py` says what agreement is. `nox -s support` runs all cases on all backends and
writes docs/support.md from what came out.
"""
