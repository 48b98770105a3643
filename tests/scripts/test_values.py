"""What counts as the same result, and that no case is overlooked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scripts.registry import Case, every_case
from tests.scripts.values import encode, same, short


def tensor(*values: float, dtype: str = "float32") -> dict[str, object]:
    return {"tensor": dtype, "shape": [len(values)], "values": list(values)}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (tensor(1.0, 2.0), tensor(1.0, 2.001), True),
        (tensor(1.0, 2.0), tensor(1.0, 2.1), False),
        (tensor(1.0), tensor(1.0, dtype="float64"), False),
        (tensor(1.0), tensor(1.0, 1.0), False),
        (tensor(5000, dtype="int64"), tensor(5001, dtype="int64"), False),
        (tensor(float("nan"), float("inf")), tensor(float("nan"), float("inf")), True),
        (tensor(float("inf")), tensor(-float("inf")), False),
        (tensor(0.0, 1.0), tensor(float("nan"), 1.0), False),
        ([1, "a", None], [1, "a", None], True),
        ([1], [True], False),
        ([1], [1.0], False),
        (1.0, 1.0005, True),
        (0.0, 1e-9, False),
        ({"dict": {"a": 1}}, {"dict": {"a": 2}}, False),
        ({"raised": "ValueError: a"}, {"raised": "TypeError: a"}, False),
        (tensor(1.0), {"raised": "ValueError: a"}, False),
        (tensor(1.0), None, False),
    ],
)
def test_same(one: object, other: object, expected: bool) -> None:
    assert same(one, other) is expected
    assert same(other, one) is expected


def test_tensors_are_encoded_with_dtype_and_shape() -> None:
    torch = pytest.importorskip("torch")
    encoded = encode({"x": (torch.tensor([[1, 2]]), True, 0.5)})
    expected = {"tensor": "int64", "shape": [1, 2], "values": [1.0, 2.0]}
    assert encoded == {"dict": {"x": [expected, True, 0.5]}}
    assert short(encoded) == "{x: (int64(1, 2)[1, 2; norm 2.2361], True, 0.5)}"
    with pytest.raises(TypeError, match="a case returned a set"):
        encode({1})


def test_cases_are_read_as_text(tmp_path: Path) -> None:
    (tmp_path / "kind.py").write_text(
        "import no_such_library\n\n@case\ndef a():\n    '''Text.'''\n\n"
        "def helper():\n    pass\n\n@case(falls_back=True, alone=True)\ndef b():\n    pass\n"
    )
    expected = [Case("kind", "a"), Case("kind", "b", falls_back=True, alone=True)]
    assert every_case(tmp_path) == expected


def test_names_are_not_used_twice() -> None:
    """A function of the same name would hide the first one."""
    names = [str(case) for case in every_case()]
    assert len(names) == len(set(names))
