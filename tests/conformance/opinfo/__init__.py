"""The engines' lowering tables against PyTorch's own OpInfo database.

`database` gives its samples, `tracing` captures them as a model's call and tells which ATen ops
each of them uses, `suite` runs on an engine those that its table covers, `judging` holds the
results against torch's. Which samples stand for which overload was found by tracing all of them
(`python -m tests.conformance.opinfo.trace`, written to `witnesses.txt`), not by hand.
"""
