"""What `first.py` is made of: items, the processes they run in, the results and the logs."""
