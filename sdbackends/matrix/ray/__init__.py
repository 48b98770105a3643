"""The matrix on a Ray cluster: what happens here in one process after the other, on many machines.

`cluster` knows Ray's address and its nodes, `runtime_env` what a node is given to run, `task` what
runs there, `writers` where the results of each kind of machine go, `run` is the loop at home. Ray
finds the machine, starts the process there and says when it is gone; the measuring is the same
`bench` as at home.
"""
