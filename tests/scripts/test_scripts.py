"""What scripts do to models gives on every engine what it gives on plain torch.

The cases are functions in `cases/`; `run_cases.py` runs them in processes of their own, some kinds
of them in each, first on plain torch and then with the environment that `sd-mock` makes. On an
engine that builds slowly (`compile`) only the cases marked for it run.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sdbackends.launch import start
from tests import quick_jax
from tests.scripts.registry import Case, every_case
from tests.scripts.values import same, short

RUN_CASES = Path(__file__).with_name("run_cases.py")
PLAIN = "plain torch"
#: A process runs as many cases: to start one takes as long as ten of them.
MOST = 80


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    engines = [name for name in metafunc.config.getoption("--engines").split(",") if name]
    metafunc.parametrize(
        ("engine", "case"),
        [
            pytest.param(engine, case, id=f"{engine}-{case.kind}-{case.name}")
            for engine in engines
            for case in every_case()
            if case.compiled or not engine.startswith("compile")
        ],
    )


@dataclass
class Results:
    """What the chosen cases gave, by engine and case."""

    chosen: dict[str, list[Case]]
    folder: Path
    known: dict[tuple[str, str], Any] = field(default_factory=dict)

    def of(self, engine: str, case: Case) -> Any:
        if (engine, str(case)) not in self.known:
            most = len(self.chosen[engine]) if engine == PLAIN else MOST
            batches = [batch for batch in batched(self.chosen[engine], most) if case in batch]
            self._run(engine, batches[0])
        return self.known[engine, str(case)]

    def _run(self, engine: str, cases: list[Case]) -> None:
        """Run `cases`; after one that ended the process, the others in a new one."""
        waiting = list(cases)
        while waiting:
            path = self.folder / f"{len(self.known)}.jsonl"
            path.touch()
            command = [sys.executable, RUN_CASES, "--write", path, *map(str, waiting)]
            done = subprocess.run(
                command,
                env=self._environment(engine, waiting[0].falls_back),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
            )
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            for line in lines:
                end = f"the process ended with {done.returncode}: {done.stderr[-1500:]}"
                self.known[engine, line["case"]] = line.get("result", {"raised": end})
            reached = {line["case"] for line in lines}
            assert reached, f"no case ran on {engine}:\n{done.stderr[-3000:]}"
            waiting = [case for case in waiting if str(case) not in reached]

    def _environment(self, engine: str, falls_back: bool) -> dict[str, str]:
        env = {**os.environ, "SD_CACHE_DIR": str(self.folder / "cache"), "SD_LOG": "quiet"}
        if engine == PLAIN:
            return env
        env["XLA_FLAGS"] = quick_jax.XLA_FLAGS
        choices = start.Choices(backend=engine, fallback="warn" if falls_back else "error")
        return start.environment(choices, env)


def batched(cases: list[Case], most: int) -> list[list[Case]]:
    """What one process runs: whole kinds, up to `most` cases where a kind has no more.

    Cases that may fall back have processes of their own, since the environment says so for all.
    """
    batches = [[case] for case in cases if case.alone]
    for falls_back in (False, True):
        batch: list[Case] = []
        chosen = [case for case in cases if not case.alone and case.falls_back == falls_back]
        for _, kind in itertools.groupby(chosen, key=lambda case: case.kind):
            more = list(kind)
            if batch and len(batch) + len(more) > most:
                batches.append(batch)
                batch = []
            batch = batch + more
        batches.append(batch)
    return batches


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Of the cases that this run has chosen: `-k` makes it as quick as it can be."""
    chosen: dict[str, list[Case]] = {PLAIN: []}
    for item in request.session.items:
        if item.path == Path(__file__) and "case" in getattr(item, "fixturenames", ()):
            engine, case = item.callspec.params["engine"], item.callspec.params["case"]
            chosen.setdefault(engine, []).append(case)
            if case not in chosen[PLAIN]:
                chosen[PLAIN].append(case)
    return Results(chosen, tmp_path_factory.mktemp("scripts"))


@pytest.mark.timeout(1800)  # the first of a process waits for all of it
def test_script(engine: str, case: Case, results: Results) -> None:
    expected = results.of(PLAIN, case)
    if isinstance(expected, dict) and "raised" in expected:
        pytest.fail(f"{case} does not run on plain torch: {short(expected)}", pytrace=False)
    given = results.of(engine, case)
    if not same(expected, given):
        pytest.fail(
            f"{case}\n  {PLAIN}: {short(expected)}\n  {engine}: {short(given)}\n"
            f"  by hand: sdbackends run --backend {engine} "
            f"--fallback {'warn' if case.falls_back else 'error'} "
            f"tests/scripts/run_cases.py {case}",
            pytrace=False,
        )
