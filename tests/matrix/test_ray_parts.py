"""What the matrix on Ray decides by itself: jobs, files, losses, environments, refused words."""

from __future__ import annotations

import importlib.metadata
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sdbackends.catalog import backend_files
from sdbackends.cli.app import app
from sdbackends.errors import SdError, UsageError
from sdbackends.matrix import plan, store
from sdbackends.matrix.ray import cluster, errors, runtime_env
from sdbackends.matrix.ray import run as running
from sdbackends.matrix.ray.cluster import ClusterNode
from sdbackends.matrix.ray.job import Job, jobs
from sdbackends.matrix.ray.task import Begun, Done
from sdbackends.matrix.ray.writers import MachineWriters
from sdbackends.matrix.results import Cell, CellResult
from sdbackends.matrix.results_writer import RunRequest
from tests.matrix import made_up
from tests.matrix.test_plan import GOOD

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'sdbackends[ray]'")
CPU, GPU = made_up.cell(), made_up.cell(device="cuda")


def node(name: str, *accelerators: str, cpus: float = 4) -> ClusterNode:
    return ClusterNode(name, name, cpus, len(accelerators), frozenset(accelerators))


@pytest.fixture
def order(tmp_path: Path) -> RunRequest:
    (tmp_path / "mine.yaml").write_text(GOOD)
    matrix = plan.load(tmp_path / "mine.yaml")
    return RunRequest(matrix, (CPU, GPU), quick=True, output=tmp_path / "out", name="one")


def test_a_gpu_cell_is_a_job_for_each_accelerator() -> None:
    found = jobs([CPU, GPU], ["H100", "A100"], gpus=True)
    assert [(job.gpu, job.accelerator) for job in found] == [
        (False, None),
        (True, "H100"),
        (True, "A100"),
    ]
    assert [(job.gpu, job.accelerator) for job in jobs([GPU], (), gpus=True)] == [(True, None)]
    assert not jobs([GPU], (), gpus=False)[0].gpu, "a node says itself that it has none"
    with pytest.raises(UsageError, match="no cell is for a GPU"):
        jobs([CPU], ["H100"], gpus=True)


def test_a_node_fits_what_it_has() -> None:
    one = node("a", "H100")
    assert one.fits(gpu=False, accelerator=None) and one.fits(gpu=True, accelerator="H100")
    assert not one.fits(gpu=True, accelerator="A100")
    assert not node("b").fits(gpu=True, accelerator=None)
    assert not node("head", cpus=0).fits(gpu=False, accelerator=None)


def test_machines_of_a_kind_share_a_book_and_others_of_the_same_name_have_their_own(
    order: RunRequest,
) -> None:
    writers = MachineWriters(order)
    own = writers.enter(node("a"), made_up.machine(), gpu=False)
    assert writers.enter(node("b"), made_up.machine(python="3.13.1"), gpu=False) is own
    other = writers.enter(node("c"), made_up.machine(threads=2), gpu=False)
    h100 = writers.enter(node("d", "H100"), made_up.machine(), gpu=True)
    paths = [writer.path.relative_to(order.output).as_posix() for writer in (own, other, h100)]
    assert paths == ["zen5-4c/one.json", "zen5-4c-2/one.json", "zen5-4c-3/one.json"]
    h100.add(made_up.result(cell=GPU), None)
    assert writers.has(GPU, "H100") and writers.has(GPU, None) and not writers.has(GPU, "A100")
    with pytest.raises(UsageError, match="there is a run one already"):
        MachineWriters(order)


def test_a_resumed_run_finds_its_books_and_what_absent_machines_have_done(
    order: RunRequest,
) -> None:
    begun = MachineWriters(order)
    begun.enter(node("a"), made_up.machine(), gpu=False).add(made_up.result(), None)
    begun.enter(node("b"), made_up.machine(threads=2), gpu=False).add(
        made_up.result(cell=GPU), None
    )
    writers = MachineWriters(
        RunRequest(order.matrix, order.cells, True, order.output, None, resume=True)
    )
    writer = writers.enter(node("other id"), made_up.machine(threads=2), gpu=False)
    assert writers.name == "one" and writer.path.parent.name == "zen5-4c-2" and writer.has(GPU)
    assert writers.has(CPU, None), "the machine on which it was done is not there now"
    assert [path.parent.name for path, _ in writers.all()] == ["zen5-4c", "zen5-4c-2"]


@dataclass
class Cluster:
    """What stands in for Ray: tasks answer at once, as `answer` says."""

    nodes: dict[str, ClusterNode]
    answer: Callable[[Cell, str], Any]
    log: list[str] = field(default_factory=list)

    def start(self, _: Any, cell: Cell, order: RunRequest, *, options: Any, gpu: bool) -> list[Any]:
        where = options.get("bound", "a")
        self.log.append(f"{cell.backend} on {where} with {options.get('num_cpus')}")
        return [Begun(where), self.answer(cell, where)]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Cluster]:
    def make(nodes: list[ClusterNode], answer: Callable[[Cell, str], Any]) -> Cluster:
        made = Cluster({one.id: one for one in nodes}, answer)

        def word(said: list[Any]) -> Any:
            first = said.pop(0)
            if isinstance(first, Exception):
                raise first
            return first

        class Said(list[Any]):
            __hash__ = object.__hash__

        monkeypatch.setattr(cluster, "nodes", lambda: made.nodes)
        monkeypatch.setattr(cluster, "start", lambda *a, **k: Said(made.start(*a, **k)))
        monkeypatch.setattr(cluster, "on", lambda one: {"bound": one.id})
        monkeypatch.setattr(cluster, "word", word)
        monkeypatch.setattr(ray, "wait", lambda out, timeout: (out[:1], out[1:]))
        monkeypatch.setattr(running, "_REST", -1.0)
        monkeypatch.setattr(running, "_LOOK", 0.01)
        monkeypatch.setattr(running, "_PATIENCE", 0.05)
        return made

    return make


def loop(order: RunRequest, machines: dict[str, Any], said: list[str]) -> running.Loop:
    writers = MachineWriters(order)

    class Survey:
        def learn(self, nodes: Any, *, gpu: bool) -> None:
            for one in nodes:
                if one.id in machines:
                    writers.enter(one, machines[one.id], gpu=gpu)

    survey: Any = Survey()
    return running.Loop(order, "present", writers, survey, said.append, said.append)


def results(order: RunRequest) -> list[CellResult]:
    return [one for path in order.output.glob("*/*.json") for one in store.read(path).cells]


def test_a_cell_that_kills_every_node_is_crashed_in_the_end(
    order: RunRequest, stand_in: Callable[..., Cluster], capsys: pytest.CaptureFixture[str]
) -> None:
    made = stand_in([node("a")], lambda *_: ray.exceptions.NodeDiedError("gone"))
    work = loop(order, {"a": made_up.machine()}, [])
    work.waiting = [Job(CPU, gpu=False)]
    work.run()
    (result,) = results(order)
    assert (result.outcome, result.reason) == ("crashed", "the node was lost 3 times")
    assert made.log == ["jax on a with 4"] * 3
    assert capsys.readouterr().err.count("it is begun anew") == 2


def test_cells_of_the_same_work_stay_on_one_kind_of_machine(
    order: RunRequest, stand_in: Callable[..., Cluster]
) -> None:
    made = stand_in(
        [node("a"), node("b", cpus=8)],
        lambda cell, _: Done(CellResult(cell=cell, outcome="ok"), None),
    )
    work = loop(order, {"a": made_up.machine(), "b": made_up.machine(threads=8)}, said := [])
    cells = [made_up.cell(backend=name) for name in ("torch", "jax", "compile")]
    work.waiting = [Job(one, gpu=False) for one in (*cells, made_up.cell(batch=4))]
    work.run()
    assert sorted(made.log) == [
        "compile on a with 4",
        "jax on a with 4",
        "jax on b with 8",
        "torch on a with 4",
    ]
    assert any("a: 1" in one and "waiting" in one for one in said)


def test_without_a_node_that_could_run_it_the_run_ends_and_keeps_the_rest(
    order: RunRequest, stand_in: Callable[..., Cluster], capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in([node("a", cpus=0)], lambda *_: None)
    work = loop(order, {"a": made_up.machine()}, [])
    work.waiting = [Job(CPU, gpu=False)]
    began = time.monotonic()
    work.run()
    assert time.monotonic() - began < 30 and len(work.waiting) == 1
    assert "no node is left" in capsys.readouterr().err


def test_ray_s_errors_are_outcomes_of_the_cell() -> None:
    from ray import exceptions

    def outcome(error: Exception) -> tuple[str, str]:
        ended = errors.ended(error)
        assert ended is not None
        return ended.outcome, ended.reason

    cause = ModuleNotFoundError("No module named 'psutil'")
    assert outcome(exceptions.RayTaskError("measure", "Traceback", cause)) == (
        "crashed",
        "it could not be measured: No module named 'psutil'",
    )
    assert outcome(exceptions.OutOfMemoryError("x"))[0] == "out-of-memory"
    kind, reason = outcome(exceptions.RuntimeEnvSetupError("pip: no such torch"))
    assert kind == "not-installed" and reason.endswith("pip: no such torch")
    assert errors.ended(exceptions.NodeDiedError("x")) is None
    assert errors.ended(exceptions.WorkerCrashedError()) is None


def test_sdbackends_is_shipped_whole(tmp_path: Path) -> None:
    whole = runtime_env.package(tmp_path)
    for name in (
        "backends/jax.yaml",
        "shim/torch/__init__.py",
        "matrix.yaml",
        "matrix/cell_runner.py",
    ):
        assert (whole / name).is_file(), name
    assert (whole / "pipelines/stable_diffusion.py").is_file()
    assert not list(whole.rglob("__pycache__"))
    # Ray takes packages of some hundred megabytes.
    assert sum(file.stat().st_size for file in whole.rglob("*") if file.is_file()) < 100 << 20


def test_an_environment_is_made_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = ["pydantic<3,>=2.7", "psutil>=6; extra == 'matrix'", "ray<3; extra == 'ray'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: needs)
    assert runtime_env.runtime_env("jax", "present") == {}
    packages = runtime_env.runtime_env("jax", "pip")["pip"]["packages"]
    assert packages == [*backend_files.load("jax").requirements, "pydantic<3,>=2.7", "psutil>=6"]


@pytest.fixture
def nothing_there() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--ray", "hello"], "'hello' is no address"),
        (["--ray", "ray://head:10001"], "run it there, with --ray auto"),
        (["--accelerator", "H100"], "there is no --ray"),
        (["--ray-env", "pip"], "there is no --ray"),
        (["--ray", "auto", "--logs", "logs"], "the nodes of a cluster"),
        (["--ray", "auto", "--backend", "jaxx"], "no backend 'jaxx'"),
    ],
)
def test_wrong_words_are_refused(words: list[str], says: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["matrix", "--quick", "-o", str(tmp_path / "out"), *words])
    assert isinstance(done.exception, UsageError) and done.exception.exit_code == 2
    assert says in str(done.exception) and not (tmp_path / "out").exists()


def test_where_no_cluster_answers_the_fix_starts_one(nothing_there: str) -> None:
    done = CliRunner().invoke(app, ["matrix", "--quick", "--ray", nothing_there])
    assert isinstance(done.exception, UsageError) and done.exception.exit_code == 2
    assert nothing_there in str(done.exception) and "ray start --head" in str(done.exception)


def test_without_ray_the_fix_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "importable", lambda name: name != "ray")
    with pytest.raises(SdError, match=r"sdbackends\[ray\]"):
        cluster.check("auto")


def test_the_matrix_at_home_needs_no_ray() -> None:
    import subprocess

    code = (
        "import sdbackends.cli.matrix, sdbackends.matrix.run, sys; sys.exit('ray' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
