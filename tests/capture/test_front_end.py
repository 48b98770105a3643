"""Dynamo behind a model's calls: what is traced anew, what is not, what is left alone."""

from __future__ import annotations

import gc
import io
import weakref

import pytest
import torch

from sdbackends.capture import front_end
from sdbackends.capture.trace_settings import PROGRAMS
from tests.capture.tracing import Traced


class Scaled(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


def test_only_what_is_new_is_traced() -> None:
    traced = Traced(Scaled().eval())
    x = torch.ones(2)
    counts = []
    for factor in (1.0, 1.0, 2.0, 1.0, 2.0):
        traced.module.factor = factor
        assert traced(x).tolist() == [factor, factor]
        counts.append(traced.new)
    assert counts == [1, 0, 1, 0, 0]
    traced(torch.ones(3))
    assert traced.new == 1


def test_a_replaced_method_has_programs_of_its_own_and_the_first_ones_are_kept() -> None:
    traced = Traced(Scaled().eval())
    x = torch.ones(2)
    traced(x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scaled, "forward", lambda self, x: x + 7)
        assert traced(x).tolist() == [8, 8]
        assert traced.new == 1
    assert traced(x).tolist() == [1, 1]
    assert traced.new == 0


def test_more_sizes_than_dynamo_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_end, "PROGRAMS", 4)
    traced = Traced(Scaled().eval())
    for size in range(1, 12):
        assert traced(torch.ones(size)).shape == (size,)
        assert traced.new == 1 and not traced.record.reasons


class InParts(torch.nn.Module):
    """After a break Dynamo keeps programs on code that all models share, that of `Module`."""

    def __init__(self) -> None:
        super().__init__()
        self.scaled = Scaled()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch._dynamo.graph_break()
        return self.scaled(x) + 1


class ManyParts(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = torch.nn.ModuleList(InParts() for _ in range(PROGRAMS + 8))
        for number, part in enumerate(self.parts):
            part.scaled.factor = 1 / (1 + number)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in self.parts:
            x = part(x)
        return x


def test_a_call_in_more_parts_than_a_model_has_traces_is_traced_once() -> None:
    """Each part has a program of its own on code that they share."""
    module, x = ManyParts().eval(), torch.ones(2)
    traced, new = Traced(module), []
    for _ in range(3):
        torch.testing.assert_close(traced(x), module(x))
        new.append(traced.new)
    assert new[0] >= len(module.parts) and new[1:] == [0, 0]
    assert traced.ran() == 3 * new[0]


def test_what_is_traced_no_more_runs_no_program_of_others() -> None:
    """Those may be closed, and their guards of classes are not asked."""
    module, x = InParts().eval(), torch.ones(2)
    before = Traced(module)
    assert before(x).tolist() == [2, 2] and before.ran() == before.new > 0
    after = Traced(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scaled, "forward", lambda self, x: x + 7)
        assert after(x, may_trace=False).tolist() == [9, 9]
    assert after(x, may_trace=False).tolist() == [2, 2]
    assert before.ran() == before.new and not after.graphs
    after(x)
    ran = after.ran()
    after(x, may_trace=False)
    assert after.ran() == 2 * ran, "its own it runs"


def test_a_function_at_its_limit_of_recompilations_runs_no_program_of_others() -> None:
    """Dynamo then takes any program whose guards hold; the stance does so for all functions."""
    module, x = InParts().eval(), torch.ones(2)
    before, after = Traced(module), Traced(module)
    before(x)
    ran = before.ran()
    with torch.compiler.set_stance("eager_on_recompile"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Scaled, "forward", lambda self, x: x + 7)
            assert after(x).tolist() == [9, 9]
        assert after(x).tolist() == [2, 2] and module(x).tolist() == [2, 2]
        assert before.ran() == ran
        before(x)
    assert before.ran() == 2 * ran, "its own it runs"


class Looping(torch.nn.Module):
    """Dynamo gives a function up in which a loop breaks."""

    def __init__(self, breaks: bool) -> None:
        super().__init__()
        self.breaks = breaks

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(2):
            if self.breaks:
                torch._dynamo.graph_break()
            x = x * 3
        return x


def test_a_function_that_is_given_up_for_one_model_is_traced_for_another() -> None:
    x = torch.ones(2)
    before = Traced(Looping(breaks=True).eval())
    for _ in range(2):
        assert before(x).tolist() == [9, 9] and not before.graphs
    module = Looping(breaks=False).eval()
    module.register_forward_pre_hook(lambda *_: torch._dynamo.graph_break())
    after = Traced(module)
    for _ in range(2):
        assert after(x).tolist() == [9, 9]
    assert len(after.graphs) == 1 and after.ran() == 2


class Failing(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fails = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.fails:
            raise KeyError("the script's own")
        return x + 1


def test_an_error_of_the_model_is_the_scripts_and_the_next_call_is_traced() -> None:
    traced = Traced(Failing().eval())
    with pytest.raises(KeyError, match="the script's own"):
        traced(torch.ones(2))
    traced.module.fails = False
    assert traced(torch.ones(2)).tolist() == [2, 2]
    assert traced.new == 1


SEEN = io.StringIO()


class Breaking(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x + 1
        SEEN.write(f"{float(y.sum())} ")
        return y * 2


def test_a_graph_break_gives_two_programs_and_runs_the_python_between() -> None:
    traced = Traced(Breaking().eval())
    for _ in range(2):
        assert traced(torch.ones(2)).tolist() == [4, 4]
    assert len(traced.graphs) == 2 and SEEN.getvalue() == "4.0 4.0 "


def test_a_model_that_is_let_go_is_collected() -> None:
    traced = Traced(Scaled().eval())
    traced(torch.ones(2))
    gone = weakref.ref(traced.module)
    traced.graphs.clear()
    traced.module = None  # type: ignore[assignment]
    gc.collect()
    assert gone() is None


def test_the_collector_is_as_it_was() -> None:
    traced = Traced(Scaled().eval())
    traced(torch.ones(2))
    assert gc.isenabled()
    gc.disable()
    try:
        traced(torch.ones(3))
        assert not gc.isenabled()
    finally:
        gc.enable()
