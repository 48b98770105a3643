"""What a run of the matrix leaves behind: typed, checked, written as one JSON file.

Everything that a report says is in here, so that files of many machines can be merged and compared
later. Samples are raw: percentiles are computed by who reads them. A file of another `schema`
number, or one that is cut off, is refused with its name and the fix; nothing is overwritten.
"""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

#: Raised whenever the meaning of a field changes.
SCHEMA = 1

Outcome = Literal[
    "ok", "wrong", "slow-limit", "out-of-memory", "crashed", "unsupported", "not-installed"
]
Part = Literal["encode", "step", "decode"]
#: These come after the denoising loop, whose steps each stand on the one before: a part that is
#: right gives something else there. They are told, and the picture is what is held to a tolerance.
AFTER_THE_LOOP = ("latents", "vae")


def _shown(text: object) -> object:
    """What a process or a machine said, in characters that every form of the report can hold."""
    if not isinstance(text, str):
        return text
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(one if one.isprintable() or one.isspace() else "\ufffd" for one in text)


def _beside(name: str) -> str:
    """A picture lies below the folder of its results file: a report shows what others measured."""
    windows = PureWindowsPath(name)
    if PurePosixPath(name).is_absolute() or windows.anchor or ".." in windows.parts:
        raise ValueError(f"{name!r} is not below the folder of the results file")
    return name


#: A name is one line: it becomes a path, a column's head, a comment of a shell's.
Name = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$")]
Text = Annotated[str, BeforeValidator(_shown)]
#: No clock tells less than a nanosecond; a sample of 0 would make every speed infinite.
Sample = Annotated[float, Field(ge=1e-9, le=1e9)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]
Count = Annotated[int, Field(ge=1, le=2**31)]
Bytes = Annotated[int, Field(ge=0, le=2**63)]
#: Operations or bytes, a second or in all.
Amount = Annotated[float, Field(ge=0, le=1e30)]


class Record(BaseModel):
    # NaN is no figure: nothing could be compared with it, and JSON has none.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Cell(Record):
    """One line of the matrix. `size` is (height, width) in pixels; `model` as in matrix.yaml."""

    pipeline: Name
    backend: Name
    precision: Literal["fp32", "bf16", "fp16", "int8"]
    size: tuple[Count, Count]
    batch: Count
    steps: Count
    scheduler: Name
    device: Name
    model: Name

    @property
    def id(self) -> str:
        """Readable, unique within a matrix, the same on every machine; the size is WxH."""
        height, width = self.size
        parts = (
            self.pipeline,
            self.model,
            self.backend,
            self.precision,
            f"{width}x{height}",
            f"b{self.batch}",
            f"s{self.steps}",
            self.scheduler,
            self.device,
        )
        return "/".join(parts)

    @property
    def work(self) -> tuple[object, ...]:
        """Everything but the backend: cells of the same work are compared with each other."""
        rest = self.model_dump(exclude={"backend"})
        return tuple(rest.values())


class PictureDifference(Record):
    """How far one result is from the reference's: max |a-b| / max |b|, and ||a-b|| / ||b||."""

    max_relative: float = Field(ge=0)
    relative_l2: float = Field(ge=0)


class Agreement(Record):
    """Against torch fp32 with the same weights, seed and latents.

    Attributes:
        parts: by the model's part ("text_encoder", "unet", "vae"): its first call.
        image_max: largest difference of a pixel, in 1/255. psnr in dB (None: equal), ssim 0..1.
        judged: share of the prompt's facts that the judge of the embedded models reads back.
    """

    parts: dict[Name, PictureDifference] = {}
    image_max: int | None = Field(None, ge=0, le=255)
    psnr: float | None = None
    ssim: float | None = None
    judged: float | None = None


class Timings(Record):
    """Seconds, as the process saw them. `images`: each whole call of the pipeline, steady.

    `build_cold` is what building every model took in a first process with an empty cache,
    `build_cached` in a second one; `capture` is what of `build_cold` went by until the models'
    graphs were there. `parts` holds a sample for each steady call of that part.
    """

    importing: Seconds | None = None
    loading: Seconds | None = None
    capture: Seconds | None = None
    build_cold: Seconds | None = None
    build_cached: Seconds | None = None
    first_image: Seconds | None = None
    images: tuple[Sample, ...] = ()
    parts: dict[Part, tuple[Sample, ...]] = {}


class MemoryUse(Record):
    """Bytes: largest resident size (with workers), largest on the GPU, weights held."""

    peak_rss: Bytes | None = None
    peak_gpu: Bytes | None = None
    weights: Bytes | None = None


class CellResult(Record):
    """What became of a cell.

    Attributes:
        reason: why it is not "ok", in one sentence; "" where it is.
        interleaved: steady seconds per image of the reference, measured in turn with this cell.
        flops: floating point operations of one call of each part, attention included.
        load: 1-minute load averages before and after. busy: others used the machine meanwhile.
        versions: of the packages in the cell's own environment.
        picture: path of the PNG, relative to the JSON file and below its folder.
        command: measures the cell alone, anew. script: draws its picture, without the matrix.
    """

    cell: Cell
    outcome: Outcome
    reason: Text = ""
    timings: Timings = Timings()
    interleaved: tuple[Sample, ...] = ()
    memory: MemoryUse = MemoryUse()
    flops: dict[Part, Amount] = {}
    agreement: Agreement | None = None
    load: tuple[float, float] | None = None
    busy: bool = False
    versions: dict[Name, Text] = {}
    picture: Annotated[Name, AfterValidator(_beside)] | None = None
    command: Text = ""
    script: Text = ""
    seconds: Seconds = 0.0


class Ceilings(Record):
    """What this machine can do at most, measured at the start of a run.

    Attributes:
        matmul, conv: FLOP/s, by precision on the CPU ("fp32") and by device and precision elsewhere
            ("cuda/fp32"); see `figures.ceiling_name`.
        copy_bytes: bytes/s read and written by a copy on the best device.
    """

    matmul: dict[Name, Amount] = {}
    conv: dict[Name, Amount] = {}
    copy_bytes: Amount | None = None


class Machine(Record):
    """Where it ran. `name` is the folder's name under results/: short, no host name."""

    name: Name
    system: Text
    python: Text
    cpu: Text
    cores: int
    threads: int
    memory_bytes: Bytes
    gpu: Text | None = None
    gpu_memory_bytes: Bytes | None = None
    driver: Text | None = None
    clock_mhz: float | None = None


class Run(Record):
    """One run of the matrix on one machine. `started`: ISO 8601, UTC."""

    schema_number: int = Field(SCHEMA, alias="schema")
    started: Name
    commit: Name
    quick: bool
    machine: Machine
    ceilings: Ceilings
    reference: Name
    tolerances: dict[Name, Tolerance]
    cells: tuple[CellResult, ...]

    model_config = ConfigDict(populate_by_name=True)


class Tolerance(Record):
    """How far a cell of one precision may be from torch fp32, and why so far."""

    part_max_relative: float = Field(ge=0)
    image_max: int | None = Field(None, ge=0, le=255)
    min_psnr: float | None = Field(None, ge=0)
    reason: Text = Field(min_length=1)


Run.model_rebuild()
