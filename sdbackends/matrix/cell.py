"""One cell of the matrix, measured: in comes a `Cell`, out goes a `CellResult`, always.

A first process builds with an empty cache and then draws the steady pictures, each in turn with the
reference. Where it built something, a second one draws one picture with the kept cache. Each is a
plain script under the shim with limits of its own (see script_process.py); whatever becomes of it
is an outcome with a reason, never an exception. The agreement with the reference is judged
elsewhere, from the files in the folder: picture.png, and parts.npz with the first output of each
model.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import cast

from sdbackends.matrix import cell_command
from sdbackends.matrix.failures import CellFailed
from sdbackends.matrix.load_monitor import LoadMonitor
from sdbackends.matrix.measure.record import Measured
from sdbackends.matrix.reference_process import Reference
from sdbackends.matrix.results import Cell, CellResult, MemoryUse, Part, Timings
from sdbackends.matrix.script_process import Limits, ScriptProcess

PICTURE = "picture.png"


def run(
    cell: Cell,
    *,
    folder: Path,
    repeats: int,
    warmups: int,
    limit_seconds: float,
    limit_bytes: int,
    reference: Reference | None = None,
    flops: Mapping[Part, float] | None = None,
    count_flops: bool = True,
    own_cache: bool = True,
) -> CellResult:
    """Measure `cell` into `folder`, which is emptied first.

    Args:
        repeats, warmups: pictures that count, and those before, the first one included; there is
            always one before.
        limit_seconds, limit_bytes: of each of the two processes (with its workers), while it is
            its turn.
        reference: draws the same work in turn with each picture that counts.
        flops: of the same work, where they are known; otherwise they are counted.
        count_flops: False: not even then.
        own_cache: False: it builds from this user's cache, and there is no second process.

    Returns:
        All but the agreement. `picture` is relative to `folder`.
    """
    script = cell_command.plain(cell)
    refused = cell_command.refusal(cell)
    if refused is not None:
        reason = cell_command.without_places(refused.reason, {})
        return CellResult(cell=cell, outcome=refused.outcome, reason=reason, script=script)
    begun, others = time.monotonic(), LoadMonitor()
    attempt = _Attempt(cell, folder, Limits(limit_seconds, limit_bytes), max(1, warmups), repeats)
    attempt.count = count_flops and not flops
    attempt.own_cache = own_cache
    ended: CellFailed | None = None
    try:
        attempt.draw(reference)
        attempt.draw_from_cache()
    except CellFailed as early:
        ended = early
    return CellResult(
        cell=cell,
        outcome="ok" if ended is None else ended.outcome,
        reason="" if ended is None else cell_command.without_places(ended.reason, {"": folder}),
        timings=attempt.timings(),
        interleaved=tuple(attempt.interleaved),
        memory=attempt.memory(),
        flops=dict(flops or {}) or attempt.flops(),
        load=others.load(),
        busy=others.busy(),
        versions=cell_command.versions(cell),
        picture=PICTURE if (folder / PICTURE).exists() else None,
        script=script,
        seconds=time.monotonic() - begun,
    )


class _Attempt:
    """The two processes of a cell, and what is known of them so far."""

    def __init__(
        self, cell: Cell, folder: Path, limits: Limits, warmups: int, repeats: int
    ) -> None:
        self.cell, self.folder = cell, folder
        self._limits, self._warmups, self._repeats = limits, warmups, repeats
        self.first = Measured()
        self.second: Measured | None = None
        self.interleaved: list[float] = []
        #: Whether the first process counts FLOPs.
        self.count = True
        #: Whether it builds from an empty cache, and then from what that kept.
        self.own_cache = True
        self._peak = 0
        shutil.rmtree(folder, ignore_errors=True)

    def draw(self, reference: Reference | None) -> None:
        """The first process: everything but the build from the cache.

        Raises:
            CellFailed: it did not come to its end.
        """
        total = self._warmups + self._repeats
        with closing(self._start(self.folder, total, count=self.count)) as script:
            try:
                for number in range(total):
                    if reference is not None and number >= self._warmups:
                        # Before, not after: a script that is done tidies up, and disturbs.
                        seconds = reference.draw()
                        self.interleaved += [] if seconds is None else [seconds]
                    script.draw(number)
                script.finish()
            finally:
                self.first = script.measured()
                self._peak = script.peak
        if self.cell.batch > 1:
            shutil.copyfile(self.folder / "picture-1.png", self.folder / PICTURE)

    def draw_from_cache(self) -> None:
        """The second process, where the first one built anything.

        Raises:
            CellFailed: it did not come to its end.
        """
        if not (self.own_cache and self.first.builds):
            return
        with closing(self._start(self.folder / "cached", 1)) as script:
            try:
                script.draw(0)
                self.second = script.finish()
            except CellFailed as ended:
                reason = f"with the cache that it had kept: {ended.reason}"
                raise CellFailed(ended.outcome, reason) from None

    def timings(self) -> Timings:
        """Of the pictures after the warm-ups; what comes once is from the first process."""
        first = self.first
        parts: dict[str, list[float]] = {}
        for picture in first.parts[self._warmups :]:
            for part, samples in picture.items():
                parts.setdefault(part, []).extend(samples)
        return Timings(
            importing=first.importing,
            loading=first.loading,
            capture=sum(build.capture for build in first.builds) or None,
            build_cold=_built(first) if self.own_cache else None,
            build_cached=None if self.second is None else _built(self.second),
            first_image=first.images[0] if first.images else None,
            images=tuple(first.images[self._warmups :]),
            parts={cast("Part", part): tuple(samples) for part, samples in parts.items()},
        )

    def flops(self) -> dict[Part, float]:
        return {cast("Part", part): count for part, count in self.first.flops.items()}

    def memory(self) -> MemoryUse:
        peak = self._peak or None
        return MemoryUse(peak_rss=peak, peak_gpu=self.first.peak_gpu, weights=self.first.weights)

    def _start(self, folder: Path, repeat: int, *, count: bool = False) -> ScriptProcess:
        cache = self.folder / "cache" if self.own_cache else None
        return ScriptProcess(
            cell_command.command(self.cell, folder / PICTURE, repeat=repeat),
            cell_command.environment(self.cell, measure=folder, cache=cache),
            folder,
            self._limits,
            in_turn=repeat > 1,
            count=count,
        )


def _built(measured: Measured) -> float | None:
    """Seconds that building took; None where nothing was built."""
    return sum(build.seconds for build in measured.builds) if measured.builds else None
