"""Whatever name of torch a module writes, in whatever place: it is found, in its line."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sdbackends.oneflow_host.check.local_modules import LocalModules
from sdbackends.oneflow_host.check.program import ReadProgram, parse
from sdbackends.oneflow_host.check.reader import walk
from tests.oneflow_host.check.conftest import FakeNames

FILE = Path("module.py")


class NoNames(FakeNames):
    """Lacks everything."""

    def lacking(self, dotted: str) -> str | None:
        return "no"


names = st.lists(
    st.sampled_from(["nn", "fft", "cuda", "amp", "x1", "Module", "functional", "_C"]),
    min_size=1,
    max_size=4,
).map(lambda parts: ".".join(["torch", *parts]))

#: A line of code around a name, and how many lines stand before the name's own.
shapes = st.sampled_from(
    [
        ("{}", 0),
        ("x = {}(1, y=[2])", 0),
        ("print({})", 0),
        ("x = [\n    1,\n    {},\n]", 2),
        ("def f(a={}): return a", 0),
        ("def f():\n    def g():\n        return {}", 2),
        ("class C({}): pass", 0),
        ("class C:\n    @{}\n    def m(self): pass", 1),
        ("for x in {}: pass", 0),
        ("while {}: break", 0),
        ("with {}() as x: pass", 0),
        ("try:\n    pass\nfinally:\n    {}", 3),
        ("if x:\n    pass\nelse:\n    {}", 3),
        ("x = lambda y: {}", 0),
        ("x = {{y: {} for y in z}}", 0),
        ("assert {}, 1", 0),
        ("x = (yield_ := {})", 0),
        ("f'{{{}}}'", 0),
        ("async def f():\n    async with {}: pass", 1),
        ("x[{}] += 1", 0),
        ("x: {} = 1", 0),
        ("raise ValueError from {}", 0),
        ("return_ = not {}", 0),
    ]
)
snippets = st.lists(st.tuples(shapes, names), min_size=1, max_size=12)


@given(
    snippets,
    st.sampled_from(["import torch", "import torch.nn, torch", "torch = __import__('torch')"]),
)
def test_found_in_its_line(written: list[tuple[tuple[str, int], str]], head: str) -> None:
    lines, expected = [head], set()
    for (shape, before), name in written:
        expected.add((name, len(lines) + before + 1))
        lines += shape.format(name).splitlines()
    program = ReadProgram(NoNames(), LocalModules(Path("nowhere"), []), walk)
    program.run(FILE, parse("\n".join(lines).encode(), FILE))
    found = {(use.name, use.line) for use in program.findings.values() if use.line > 1}
    assert found == expected
