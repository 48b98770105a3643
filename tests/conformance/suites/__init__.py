"""Test suites of diffusers and transformers, run through the shim as a person's script would be.

`python -m tests.conformance.suites diffusers --source DIR --backend jax` (a chore of nox:
`diffusers-suite`) takes a checkout that the user has, runs its tests under plain torch and then
under the backend in the same environment, and judges what plain torch passes: every test must pass,
but those that `known_failures/SUITE-BACKEND.txt` beside it lists, which must fail. Nothing here is
in the wheel.
"""
