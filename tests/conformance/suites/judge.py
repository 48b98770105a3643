"""What a backend's records mean beside those of plain torch and the list of known failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.conformance.known_failures import KnownFailure
from tests.conformance.suites.records import PASSED, Record, Way


@dataclass
class Verdict:
    """How a backend did on the tests that plain torch passes.

    Attributes:
        passed: tests that passed, by the way in which their models ran.
        new: failures that no line lists.
        listed: failures that a line lists, with the line.
        outlived: tests that passed although a line lists them.
        unused: lines that name no test; empty where only a part of the suite ran.
    """

    passed: dict[Way, list[Record]] = field(default_factory=dict)
    new: list[Record] = field(default_factory=list)
    listed: list[tuple[Record, KnownFailure]] = field(default_factory=list)
    outlived: list[tuple[Record, KnownFailure]] = field(default_factory=list)
    unused: list[KnownFailure] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.passes + len(self.new) + len(self.listed)

    @property
    def passes(self) -> int:
        return sum(map(len, self.passed.values()))

    @property
    def share(self) -> float:
        return self.passes / self.total if self.total else 1.0

    @property
    def good(self) -> bool:
        return not (self.new or self.outlived or self.unused)

    def reasons(self) -> Counter[str]:
        """Why models fell back to eager torch in tests that passed, with the number of tests."""
        return Counter(r for record in self.passed.get("fallback", ()) for r in record.fallback)


def passing(reference: Mapping[str, Record]) -> list[str]:
    """The tests that plain torch passes."""
    return [test for test, record in reference.items() if record.outcome == "passed"]


def judge(
    tests: Iterable[str],
    records: Mapping[str, Record],
    lines: Sequence[KnownFailure],
    *,
    whole: bool,
) -> Verdict:
    """`tests`: those that plain torch passes; `whole`: they are the whole suite's."""
    verdict, used = Verdict(), set()
    for test in tests:
        record = records.get(test) or Record(test, "failed", why="it was not found")
        line = next((line for line in lines if line.names(test)), None)
        used.add(line)
        if record.outcome in PASSED:
            verdict.passed.setdefault(record.way, []).append(record)
            if line is not None:
                verdict.outlived.append((record, line))
        elif line is not None:
            verdict.listed.append((record, line))
        else:
            verdict.new.append(record)
    if whole:
        verdict.unused = [line for line in lines if line not in used]
    return verdict
