"""The options of engines: each says what it accepts, and the backend files show what there is."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from sdbackends.engines import _OPTIONS, ENGINES, option_record
from sdbackends.engines.inductor_options import InductorOptions
from sdbackends.engines.jax_options import JaxEngineOptions
from sdbackends.engines.oneflow.host_options import OneflowHostOptions
from sdbackends.engines.oneflow.options import OneflowOptions
from sdbackends.engines.options import EngineOptions
from sdbackends.errors import UsageError
from sdbackends.paths import backends_dir

#: The backend file that shows all options of an engine, by engine and host.
SHOWN_IN = {
    ("inductor", "torch"): "compile",
    ("jax", "torch"): "jax",
    ("oneflow", "torch"): "oneflow",
    ("openvino", "torch"): "openvino",
    ("oneflow", "oneflow"): "oneflow-host",
}


def test_every_engine_has_a_record_of_its_options() -> None:
    assert {engine for engine, _ in _OPTIONS} == set(ENGINES)
    for engine, host in _OPTIONS:
        record = option_record(engine, host)
        assert record is not None and record.engine == engine
    assert option_record("my_engine:Mine", "torch") is None


@pytest.mark.parametrize("place", SHOWN_IN, ids=SHOWN_IN.values())
def test_the_backend_file_shows_each_option_with_its_values(place: tuple[str, str]) -> None:
    record = option_record(*place)
    assert record is not None
    text = (backends_dir() / f"{SHOWN_IN[place]}.yaml").read_text("utf-8")
    for name, field in record.model_fields.items():
        assert f"  {name}:" in text
        assert field.description
        for value in get_args(field.annotation):
            assert not isinstance(value, str) or value in text, f"{name}: {value}"


@pytest.mark.parametrize(
    ("record", "given", "what", "accepted"),
    [
        (JaxEngineOptions, {"layout": "nchw "}, "cannot be 'nchw '", "'auto', 'nhwc', 'nchw'"),
        (
            JaxEngineOptions,
            {"Layout": "nchw"},
            "no option 'Layout'",
            "attention, conv, layout, matmul",
        ),
        (JaxEngineOptions, {"layout": None}, "cannot be None", "'nhwc'"),
        (InductorOptions, {"freezing": 1}, "cannot be 1", "False, True"),
        (InductorOptions, {"freezing": "yes"}, "cannot be 'yes'", "False, True"),
        (InductorOptions, {"mode": "{fast}"}, "cannot be '{fast}'", "'max-autotune'"),
        (OneflowOptions, {"mode": "lazy"}, "engine 'oneflow' cannot be 'lazy'", "'graph', 'eager'"),
        (OneflowOptions, {"graphs": 4}, "no option 'graphs'", "build_timeout, call_timeout"),
        (OneflowOptions, {"build_timeout": "6"}, "'build_timeout'", "a number of seconds above 0"),
        (OneflowOptions, {"call_timeout": 0}, "'call_timeout'", "a number of seconds above 0"),
        (OneflowOptions, {"call_timeout": True}, "cannot be True", "a number of seconds above 0"),
        (OneflowOptions, {"call_timeout": float("nan")}, "be nan", "a number of seconds above 0"),
        (OneflowOptions, {"graph_memory_limit": "much"}, "cannot be 'much'", '"8 GB"'),
        (OneflowOptions, {"graph_memory_limit": True}, "cannot be True", "auto, bytes"),
        (OneflowOptions, {"graph_memory_limit": -1}, "cannot be -1", "auto, bytes"),
        (OneflowOptions, {"graph_memory_limit": "8 GB of it"}, "'8 GB of it'", "auto, bytes"),
        (OneflowHostOptions, {"graphs": 0}, "cannot be 0", "a number from 1 on"),
        (OneflowHostOptions, {"mode": "graph"}, "no option 'mode'", "graph_memory_limit, graphs"),
    ],
)
def test_what_is_not_accepted_is_refused_with_what_is(
    record: type[EngineOptions], given: dict[str, Any], what: str, accepted: str
) -> None:
    with pytest.raises(UsageError) as refused:
        record.checked(given)
    assert what in refused.value.what
    assert refused.value.fix.startswith("accepted: ") and accepted in refused.value.fix


@pytest.mark.parametrize(
    ("size", "given"),
    [("8 GB", 8 * 10**9), ("1.5 MiB", 3 * 2**19), (1000, 1000), ("1000", 1000), ("auto", "auto")],
)
def test_the_worker_is_told_bytes(size: object, given: object) -> None:
    options = OneflowOptions.checked({"graph_memory_limit": size, "build_timeout": 5})
    assert options.for_runner() == {"mode": "graph", "graph_memory_limit": given}
    assert (options.build_timeout, options.call_timeout) == (5.0, 600.0)


def test_what_is_left_out_has_its_default() -> None:
    assert JaxEngineOptions.checked({"conv": "im2col"}) == JaxEngineOptions(
        conv="im2col", layout="auto"
    )
    assert OneflowHostOptions.checked({}).graphs == 4
