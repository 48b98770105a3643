"""`matrix.yaml` as typed records: which cells there are, on which terms, and how right is right.

Nothing is computed here; `plan` turns these records into cells. What is named (backends, pipelines)
must exist, so that a typing error is refused by line and key before the first process starts.
`schema()` is the same as JSON Schema, shipped as `matrix.schema.json` for editors.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from sdbackends.errors import UsageError
from sdbackends.launch.pipeline_scripts import model_families, pipeline_script
from sdbackends.matrix.results import Tolerance
from sdbackends.paths import backend_names
from sdbackends.settings import Precision

#: In place of a list of backends: every file in `backends/`.
ALL = "all"
PRECISIONS: tuple[str, ...] = get_args(Precision)
Device = Literal["auto", "cpu", "cuda", "tpu"]
Scheduler = Literal["pndm", "ddim", "euler", "euler_a", "dpm++", "unipc"]
SCHEDULERS: tuple[str, ...] = get_args(Scheduler)
_UNITS = {"MB": 10**6, "GB": 10**9}
_FORMS = "embedded, tiny-random:FAMILY, full-random:FAMILY, a hub id (owner/name) or a folder"


def size(given: object) -> tuple[int, int]:
    """Height and width of `512`, or of "640x512" (width x height, as `generate --size` has it).

    Raises:
        ValueError: it is neither, or not in steps of 8 pixels.
    """
    found = re.fullmatch(r"(\d+)(?:[x×](\d+))?", str(given).strip())
    if isinstance(given, bool) or not found:
        raise ValueError(f'{given!r} is no size such as 512 or "640x512"')
    width, height = int(found[1]), int(found[2] or found[1])
    if not (width and height) or width % 8 or height % 8:
        raise ValueError(f"{given}: width and height are multiples of 8")
    return height, width


def memory(given: object) -> int:
    """Bytes of "12 GB".

    Raises:
        ValueError: it is not written so.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(MB|GB)", str(given).strip())
    if not found or not float(found[1]):
        raise ValueError(f'{given!r} is no amount of memory such as "12 GB"')
    return int(float(found[1]) * _UNITS[found[2]])


def backend(name: object) -> str:
    """`name`, where a backend is called so; `auto` is another one on every machine."""
    known = (*backend_names(), ALL)
    if name not in known:
        raise ValueError(f"there is no backend {name!r}; one of: {', '.join(known)}")
    return str(name)


def pipeline(name: object) -> str:
    """`name`, where a script of `pipelines/` is called so."""
    try:
        return pipeline_script(str(name)).stem
    except UsageError as error:
        raise ValueError(f"{error.what}; {error.fix}") from None


def model(given: object) -> str:
    """`given`, where it has one of the forms that name a model."""
    kind, _, family = str(given).partition(":")
    if kind in ("tiny-random", "full-random"):
        if family not in model_families():
            raise ValueError(f"{given!r}: the families are {', '.join(model_families())}")
    elif given != "embedded" and not re.fullmatch(r"[\w.~-]*/[\w./ -]+", str(given)):
        raise ValueError(f"{given!r} names no model; it is one of: {_FORMS}")
    return str(given)


def listed(given: object) -> object:
    """One value is a list of one."""
    if given in ([], (), None):
        raise ValueError("it has no value")
    return given if isinstance(given, (list, tuple)) else (given,)


class _OneOrMore:
    """In the schema: a value, or a list of such values."""

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        several = handler(core)
        return {"anyOf": [several["items"], {**several, "minItems": 1}]}


T = TypeVar("T")
Some = Annotated[tuple[T, ...], BeforeValidator(listed), _OneOrMore()]
_WIDTH_X_HEIGHT: JsonSchemaValue = {
    "description": "pixels: 512, or widthxheight",
    "anyOf": [
        {"type": "integer", "minimum": 8, "multipleOf": 8},
        {"type": "string", "pattern": r"^\d+(x\d+)?$"},
    ],
}
Backend = Annotated[str, BeforeValidator(backend)]
Pipeline = Annotated[str, BeforeValidator(pipeline)]
Model = Annotated[str, BeforeValidator(model), Field(description=_FORMS)]
Size = Annotated[tuple[int, int], BeforeValidator(size), WithJsonSchema(_WIDTH_X_HEIGHT)]
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, description="then the cell is stopped: slow-limit")]
Memory = Annotated[
    int,
    BeforeValidator(memory),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\d+(\.\d+)? ?(MB|GB)$",
            "description": "of the cell's processes; then it is stopped: out-of-memory",
        }
    ),
]


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Axes(Strict):
    """The product of all these is the matrix. `backend: all` stands for every one there is."""

    pipeline: Some[Pipeline]
    model: Some[Model]
    backend: Some[Backend]
    precision: Some[Precision]
    size: Some[Size]
    batch: Some[Positive]
    steps: Some[Positive]
    scheduler: Some[Scheduler]
    device: Some[Device] = Field(description="auto: the best of the machine that runs the cell")


class Selection(Strict):
    """Some of the axes, with one value or several each."""

    pipeline: Some[Pipeline] | None = None
    model: Some[Model] | None = None
    backend: Some[Backend] | None = None
    precision: Some[Precision] | None = None
    size: Some[Size] | None = None
    batch: Some[Positive] | None = None
    steps: Some[Positive] | None = None
    scheduler: Some[Scheduler] | None = None
    device: Some[Device] | None = None

    @model_validator(mode="after")
    def _names_something(self) -> Selection:
        if not self.named:
            raise ValueError(f"it names no axis; axes: {', '.join(type(self).model_fields)}")
        return self

    @property
    def named(self) -> dict[str, tuple[Any, ...]]:
        """Axis -> values, of those axes that are written."""
        return {name: values for name, values in self if values is not None}


class CellSettings(Strict):
    """On which terms a cell is measured. The last three leave out what takes time."""

    repeats: int = Field(ge=1, description="measured drawings, after the warm-ups")
    warmups: int = Field(ge=0, description="drawings before; the first one builds the models")
    seconds: Seconds
    memory: Memory
    in_turn: bool = Field(True, description="each drawing in turn with one of the reference")
    own_cache: bool = Field(
        True,
        description="build from an empty cache, and once more from what that kept; "
        "false: build once, from the cache of whoever runs it",
    )
    flops: bool = Field(True, description="count the operations of each part")


class Override(Strict):
    """Other terms for some cells; of several that fit, the last that says something wins."""

    where: Selection
    repeats: int | None = Field(None, ge=1)
    warmups: int | None = Field(None, ge=0)
    seconds: Seconds | None = None
    memory: Memory | None = None


class MatrixSpec(Strict):
    """One matrix: the product of its axes, less `exclude`, with `include`.

    As in CI matrices, an entry of `exclude` drops the cells that have all its values, and each of
    `include` adds cells. What such an entry does not name is as under `axes`; and what it names
    in full is there even where `exclude` says otherwise.
    """

    terms: CellSettings
    special: tuple[Override, ...] = ()
    axes: Axes
    exclude: tuple[Selection, ...] = ()
    include: tuple[Selection, ...] = ()

    @property
    def precisions(self) -> set[Precision]:
        more = (one for entry in self.include for one in entry.precision or ())
        return {*self.axes.precision, *more}


class Matrix(Strict):
    """`matrix.yaml`."""

    reference: Backend = Field("torch", description="the backend that others are compared with")
    tolerances: dict[Precision, Tolerance] = Field(description="beyond them a cell is `wrong`")
    full: MatrixSpec
    quick: MatrixSpec = Field(description="what --quick runs")
    demo: MatrixSpec | None = Field(None, description="what `sdbackends demo` draws")

    @model_validator(mode="after")
    def _each_precision_has_a_tolerance(self) -> Matrix:
        specs = (self.full, self.quick, *([self.demo] if self.demo else []))
        lacking = {one for spec in specs for one in spec.precisions} - set(self.tolerances)
        if lacking:
            raise ValueError(f"tolerances say nothing of {', '.join(sorted(lacking))}")
        if self.reference == ALL:
            raise ValueError("reference is one backend, not all")
        return self


def schema() -> str:
    """The text of `matrix.schema.json`."""
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Matrix.model_json_schema(),
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
