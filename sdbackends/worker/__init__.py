"""An engine in another interpreter.

Some runtimes need a Python that the user's script does not have, and end the whole process on some
errors. Such an engine runs in a worker: a process of its own, started from the engine's own
environment.

* client.py is our side: start a worker, build programs in it, run them, survive its death.
* server.py is the other side, started by bootstrap.py with the standard library and numpy alone.
* protocol.py carries small messages between the two; tensors never travel in them.
* segment.py and exchange.py are the memory that both sides map: weights, inputs and outputs.
* process.py starts and ends the process and says how it died.
"""
