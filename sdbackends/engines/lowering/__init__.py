"""What engines with a table of lowerings share: the table, the interpreter, small computations.

Nothing here imports a framework: it also runs in a worker, on CPython 3.10 with numpy alone.
"""
