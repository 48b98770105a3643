"""What `sd-mock` and `sdbackends run` set before a script starts."""
