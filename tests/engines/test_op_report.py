"""What an engine lacks, in words: short, and with every place in it."""

from __future__ import annotations

from sdbackends.engines.base import CallSite, MissingOp
from sdbackends.engines.op_report import merged, op_lines, place_lines

X, Y = "float32[2, 8]", "float32[2, 4]"


def op(*paths: str, name: str = "aten.roll.default", place: str = "shape.py") -> MissingOp:
    return MissingOp(name, tuple(CallSite(path, X, Y) for path in paths), place)


def test_places_that_differ_in_their_numbers_are_one_line() -> None:
    paths = [f"up.{block}.layers.{layer}" for block in range(3) for layer in (0, 10)]
    assert [*op_lines(op(*paths, "out"))] == [
        "aten.roll.default, 7 places",
        f"  6 × up.{{0,1,2}}.layers.{{0,10}}: {X} -> {Y}",
        f"  1 × out: {X} -> {Y}",
    ]


def test_no_place_is_made_up() -> None:
    """up.1.layers.1 is not among them, so that braces would say too much."""
    lines = [*op_lines(op("up.0.layers.0", "up.0.layers.1", "up.1.layers.0"))]
    assert [line.split(":")[0] for line in lines[1:]] == [
        "  1 × up.0.layers.0",
        "  1 × up.0.layers.1",
        "  1 × up.1.layers.0",
    ]


def test_a_module_that_is_called_twice_counts_twice() -> None:
    assert f"  2 × act: {X} -> {Y}" in [*op_lines(op("act", "act"))]
    uneven = [*op_lines(op("act.0", "act.0", "act.1"))]
    assert uneven[1:] == [f"  2 × act.0: {X} -> {Y}", f"  1 × act.1: {X} -> {Y}"]


def test_the_model_itself_and_an_op_without_inputs() -> None:
    bare = MissingOp("aten.randn.default", (CallSite("", "", X),))
    assert [*op_lines(bare)] == ["aten.randn.default, 1 place", f"  1 × the model: {X}"]


def test_graphs_of_two_sizes_are_merged() -> None:
    wide = MissingOp("aten.roll.default", (CallSite("act", Y, Y),), "shape.py")
    (both,) = merged([op("act", "act"), op("act"), wide])
    assert len(both.sites) == 3 and wide.sites[0] in both.sites


def test_each_file_is_named_once_and_only_where_one_helps() -> None:
    lines = [*place_lines([op("a"), op("b", name="aten.flip.default"), op("c", place="")])]
    assert lines == [
        "shape.py: a lowering of aten.roll.default, aten.flip.default",
        "docs/adding-an-op.md shows how",
    ]
    assert [*place_lines([op("c", place="")])] == []
