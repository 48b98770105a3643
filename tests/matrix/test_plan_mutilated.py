"""However a matrix.yaml is mutilated: it is read, or refused with the file's name; no traceback."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdbackends.errors import CatalogError
from sdbackends.matrix import plan
from sdbackends.paths import matrix_file

TEXT = matrix_file().read_text("utf-8")
DATA = yaml.safe_load(TEXT)
ODD = [
    "2026-13-45",
    "!!bool x",
    "!!int x",
    "!!timestamp x",
    "0x_",
    "8" * 5000,
    "&a [*a]",
    "&a {b: *a}",
    "{[1]: 2}",
    "{1: 2}",
    "*nowhere",
    "!!python/object:os.system {}",
    "[" * 1000,
    "\x00",
    "<<: 3",
]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["all", "auto", "torch", "bf16", "64x64", "1 GB", "tiny-random:", "/", "~"]),
    st.lists(st.one_of(st.integers(), st.text(max_size=4)), max_size=3),
    st.dictionaries(st.text(max_size=6), st.integers(), max_size=2),
)
quickly = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def is_read_or_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text, "utf-8", errors="surrogatepass")
    try:
        matrix = plan.load(file)
    except CatalogError as refusal:
        error = refusal
    else:
        plan.cells(matrix, quick=True)
        return
    assert error.exit_code == 2
    assert "mine.yaml" in str(error)
    assert error.why


def places(data: Any) -> list[tuple[Any, ...]]:
    """The way to each value in `data`."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    return [
        way
        for key, value in items
        for way in (
            (key,),
            *((key, *rest) for rest in (places(value) if isinstance(value, dict | list) else ())),
        )
    ]


@quickly
@given(st.data())
def test_another_value_or_another_key_anywhere(tmp_path: Path, data: st.DataObject) -> None:
    *above, last = data.draw(st.sampled_from(places(DATA)))
    changed = copy.deepcopy(DATA)
    holder = changed
    for key in above:
        holder = holder[key]
    match data.draw(st.sampled_from(["value", "gone", "renamed"])):
        case "value":
            holder[last] = data.draw(VALUES)
        case "gone":
            del holder[last]
        case _:
            value = holder.pop(last)
            if isinstance(holder, dict):
                holder[data.draw(st.one_of(st.text(max_size=6), st.integers()))] = value
    is_read_or_refused(tmp_path, yaml.safe_dump(changed, allow_unicode=True))


@quickly
@given(st.data())
def test_a_piece_of_the_text_cut_out_or_put_in(tmp_path: Path, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(TEXT)))
    end = min(len(TEXT), begin + data.draw(st.integers(0, 30)))
    put_in = data.draw(st.sampled_from(["", *ODD, " ", "\t", ":", "[", "}", "'", "- ", "\n"]))
    is_read_or_refused(tmp_path, TEXT[:begin] + put_in + TEXT[end:])


@pytest.mark.parametrize("odd", ODD)
def test_values_that_the_yaml_library_itself_stumbles_over(tmp_path: Path, odd: str) -> None:
    is_read_or_refused(tmp_path, f"reference: {odd}\n")
    is_read_or_refused(tmp_path, TEXT.replace("[64]", odd, 1))


def test_a_key_that_is_written_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(TEXT + "reference: jax\n")
    with pytest.raises(CatalogError, match="says reference twice") as error:
        plan.load(tmp_path / "mine.yaml")
    assert error.value.where.endswith(f":{TEXT.count(chr(10)) + 1}:1")
