"""Faults injected on purpose: each is said in one message, and the run goes on or ends in order."""
