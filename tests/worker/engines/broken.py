"""An engine whose library does not load."""

raise ImportError("libbroken.so: cannot open shared object file")
