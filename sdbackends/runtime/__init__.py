"""The way of a model's call: router, preparation, programs, results, and what listens to it."""
