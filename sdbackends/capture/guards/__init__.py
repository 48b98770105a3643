"""What Dynamo does not guard by itself, each kind in a file of its own; and what it need not.

A kind's `changes()` says what of Dynamo is replaced while a trace of ours runs. `class_guard.py`,
one room up, stands for classes and functions that are replaced.
"""

from __future__ import annotations

from sdbackends.capture.guards import (
    absent,
    builtin_names,
    classes_read,
    constant_tuples,
    empty_dicts,
    instance_checks,
    needless,
    own_programs,
    same_object,
)

#: In this order: two of them may stand around one function of Dynamo's.
KINDS = (
    absent,
    builtin_names,
    constant_tuples,
    empty_dicts,
    instance_checks,
    classes_read,
    needless,
    own_programs,
    same_object,
)
