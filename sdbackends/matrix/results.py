"""What a run of the matrix leaves behind: typed, checked, written as one JSON file.

Everything that a report says is in here, so that files of many machines can be merged and compared
later. Samples are raw: percentiles are computed by who reads them. A file of another `schema`
number, or one that is cut off, is refused with its name and the mend; nothing is overwritten.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

#: Raised whenever the meaning of a field changes.
SCHEMA = 1

Outcome = Literal[
    "ok", "wrong", "slow-limit", "out-of-memory", "crashed", "unsupported", "not-installed"
]
Part = Literal["encode", "step", "decode"]
#: These come after the denoising loop, whose steps each stand on the one before: a part that is
#: right gives something else there. They are told, and the picture is what is held to a tolerance.
AFTER_THE_LOOP = ("latents", "vae")


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Cell(Record):
    """One line of the matrix. `size` is (height, width) in pixels; `model` as in matrix.yaml."""

    pipeline: str
    backend: str
    precision: Literal["fp32", "bf16", "fp16", "int8"]
    size: tuple[int, int]
    batch: int
    steps: int
    scheduler: str
    device: str
    model: str

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


class Difference(Record):
    """How far one result is from the reference's: max |a-b| / max |b|, and ||a-b|| / ||b||."""

    max_relative: float
    relative_l2: float


class Agreement(Record):
    """Against torch fp32 with the same weights, seed and latents.

    Attributes:
        parts: by the model's part ("text_encoder", "unet", "vae"): its first call.
        image_max: largest difference of a pixel, in 1/255. psnr in dB (None: equal), ssim 0..1.
        judged: share of the prompt's facts that the judge of the embedded models reads back.
    """

    parts: dict[str, Difference] = {}
    image_max: int | None = None
    psnr: float | None = None
    ssim: float | None = None
    judged: float | None = None


class Timings(Record):
    """Seconds, as the process saw them. `images`: each whole call of the pipeline, steady.

    `build_cold` is what building every model took in a first process with an empty cache,
    `build_cached` in a second one; `capture` is what of `build_cold` went by until the models'
    graphs were there. `parts` holds a sample for each steady call of that part.
    """

    importing: float | None = None
    loading: float | None = None
    capture: float | None = None
    build_cold: float | None = None
    build_cached: float | None = None
    first_image: float | None = None
    images: tuple[float, ...] = ()
    parts: dict[Part, tuple[float, ...]] = {}


class Memory(Record):
    """Bytes: largest resident size (with workers), largest on the GPU, weights held."""

    peak_rss: int | None = None
    peak_gpu: int | None = None
    weights: int | None = None


class CellResult(Record):
    """What became of a cell.

    Attributes:
        reason: why it is not "ok", in one sentence; "" where it is.
        interleaved: steady seconds per image of the reference, measured in turn with this cell.
        flops: floating point operations of one call of each part, attention included.
        load: 1-minute load averages before and after. busy: others used the machine meanwhile.
        versions: of the packages in the cell's own environment.
        picture: path of the PNG, relative to the JSON file.
        command: measures the cell alone, anew. script: draws its picture, without the matrix.
    """

    cell: Cell
    outcome: Outcome
    reason: str = ""
    timings: Timings = Timings()
    interleaved: tuple[float, ...] = ()
    memory: Memory = Memory()
    flops: dict[Part, float] = {}
    agreement: Agreement | None = None
    load: tuple[float, float] | None = None
    busy: bool = False
    versions: dict[str, str] = {}
    picture: str | None = None
    command: str = ""
    script: str = ""
    seconds: float = 0.0


class Ceilings(Record):
    """What this machine can do at most, measured at the start of a run.

    Attributes:
        matmul, conv: FLOP/s, by precision on the CPU ("fp32") and by device and precision elsewhere
            ("cuda/fp32"); see `figures.ceiling_name`.
        copy_bytes: bytes/s read and written by a copy on the best device.
    """

    matmul: dict[str, float] = {}
    conv: dict[str, float] = {}
    copy_bytes: float | None = None


class Machine(Record):
    """Where it ran. `name` is the folder's name under results/: short, no host name."""

    name: str
    system: str
    python: str
    cpu: str
    cores: int
    threads: int
    memory_bytes: int
    gpu: str | None = None
    gpu_memory_bytes: int | None = None
    driver: str | None = None
    clock_mhz: float | None = None


class Run(Record):
    """One run of the matrix on one machine. `started`: ISO 8601, UTC."""

    schema_number: int = Field(SCHEMA, alias="schema")
    started: str
    commit: str
    quick: bool
    machine: Machine
    ceilings: Ceilings
    reference: str
    tolerances: dict[str, Tolerance]
    cells: tuple[CellResult, ...]

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Tolerance(Record):
    """How far a cell of one precision may be from torch fp32, and why so far."""

    part_max_relative: float = Field(ge=0, allow_inf_nan=False)
    image_max: int | None = Field(None, ge=0, le=255)
    min_psnr: float | None = Field(None, ge=0, allow_inf_nan=False)
    reason: str = Field(min_length=1)


Run.model_rebuild()
