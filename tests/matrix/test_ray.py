"""The matrix on a real Ray cluster: two nodes on this machine, the embedded model, two steps."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from sdbackends.matrix import store
from sdbackends.matrix.results import Run
from tests.matrix import faulty_backends

pytest.importorskip("ray", reason="Ray is not installed: pip install 'sdbackends[ray]'")
from tests.matrix import ray_cluster
from tests.matrix.ray_cluster import TwoNodes

pytestmark = pytest.mark.slow

MATRIX = """
tolerances:
  fp32: {part_max_relative: 1.0e-3, image_max: 3, min_psnr: 45, reason: sums}
full: &all
  terms: {repeats: 1, warmups: 1, seconds: 200, memory: 10 GB}
  axes:
    pipeline: [stable_diffusion, taiyi]
    model: embedded
    backend: torch
    precision: fp32
    size: 64
    batch: 1
    steps: 2
    scheduler: ddim
    device: cpu
  include:
    - {pipeline: stable_diffusion, backend: [jax, wrong, crashing]}
    - {pipeline: stable_diffusion, device: cuda}
quick: *all
"""


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables that add the faulty engines, at home and on the nodes."""
    folder = faulty_backends.beside_the_true_ones(tmp_path_factory.mktemp("catalog"))
    return {"RAY_USAGE_STATS_ENABLED": "0", **faulty_backends.variables(folder)}


@pytest.fixture(scope="module")
def cluster(plugins: dict[str, str]) -> Iterator[TwoNodes]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in plugins.items():
            patch.setenv(name, value)
        with ray_cluster.two_nodes() as nodes:
            yield nodes


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plan") / "matrix.yaml"
    path.write_text(MATRIX)
    return path


def runs(output: Path) -> list[Run]:
    return [store.read(path) for path in sorted(output.glob("*/*.json"))]


def outcomes(output: Path) -> dict[str, str]:
    found = [one for run in runs(output) for one in run.cells]
    return {f"{one.cell.pipeline} {one.cell.device}": one.outcome for one in found}


@pytest.fixture(scope="module")
def spread_out(
    cluster: TwoNodes, file: Path, plugins: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    output = tmp_path_factory.mktemp("results")
    words = (
        "--accelerator=H100,A100",
        "--name=one",
        "--pipeline=stable_diffusion",
        "--backend=torch,wrong,crashing",
    )
    with ray_cluster.matrix(cluster.address, file, output, *words, env=plugins) as process:
        code, said = ray_cluster.ended(process)
    assert code == 1, said  # a cell has crashed, another one is wrong
    return output, said


def test_cells_are_measured_on_both_nodes_as_they_are_at_home(
    spread_out: tuple[Path, str],
) -> None:
    output, said = spread_out
    (run,) = [run for run in runs(output) if any(one.cell.device == "cpu" for one in run.cells)]
    assert run.ceilings.matmul and run.ceilings.copy_bytes
    by_backend = {one.cell.backend: one for one in run.cells}
    torch, wrong = by_backend["torch"], by_backend["wrong"]
    assert (torch.outcome, torch.reason) == ("ok", "") and torch.agreement is not None
    assert wrong.outcome == "wrong" and wrong.agreement is not None
    assert wrong.agreement.parts["unet"].max_relative > 1e-3
    assert len(wrong.timings.images) == len(wrong.interleaved) == 1
    assert torch.command.startswith("sdbackends matrix --quick")
    for result in (torch, wrong):
        assert result.picture is not None
        picture = output / run.machine.name / result.picture
        assert Image.open(picture).size == (64, 64)
    assert " H100]" in said and " A100]" in said
    assert str(output / "one" / "report.html") in said.replace("\n", "")
    assert (output / "one" / "report.html").is_file()


def test_an_engine_that_aborts_its_process_takes_nothing_down(
    spread_out: tuple[Path, str],
) -> None:
    output, _ = spread_out
    (run,) = [run for run in runs(output) if any(one.cell.device == "cpu" for one in run.cells)]
    (crashed,) = [one for one in run.cells if one.cell.backend == "crashing"]
    assert crashed.outcome == "crashed" and "SIGABRT" in crashed.reason
    assert [one.outcome for one in run.cells if one is not crashed] == ["ok", "wrong"]


def test_a_gpu_cell_is_run_once_on_each_accelerator(spread_out: tuple[Path, str]) -> None:
    output, said = spread_out
    gpu = [one for run in runs(output) for one in run.cells if one.cell.device == "cuda"]
    # The GPUs are Ray's imagination, and the nodes say so.
    assert [one.outcome for one in gpu] == ["not-installed"] * 2
    lines = [line for line in said.splitlines() if "/cuda" in line]
    assert sorted(line.rpartition(" ")[2] for line in lines) == ["A100]", "H100]"]


def test_a_cell_whose_node_dies_is_begun_anew_on_another(
    cluster: TwoNodes, file: Path, plugins: dict[str, str], tmp_path: Path
) -> None:
    words = ("--backend=torch", "--name=two")
    with ray_cluster.matrix(cluster.address, file, tmp_path, *words, env=plugins) as process:
        ray_cluster.wait_for(lambda: bool(cluster.scripts_on_second()), "cell on the second node")
        scripts = cluster.scripts_on_second()
        cluster.kill_second()
        code, said = ray_cluster.ended(process)
    assert code == 0, said
    assert re.search(r"was lost with \S+ A100; it is begun anew", said)
    cpu = [one for run in runs(tmp_path) for one in run.cells if one.cell.device == "cpu"]
    assert [one.outcome for one in cpu] == ["ok", "ok"]
    ray_cluster.wait_for(
        lambda: not any(one.is_running() for one in scripts), "end of its scripts", seconds=30
    )


def test_ctrl_c_keeps_what_is_done_and_resume_does_the_rest(
    cluster: TwoNodes, file: Path, plugins: dict[str, str], tmp_path: Path
) -> None:
    """After the test before, with one node left: one cell after the other."""
    words = ("--backend=torch", "--precision=fp32", "--name=three")
    with ray_cluster.matrix(cluster.address, file, tmp_path, *words, env=plugins) as process:
        ray_cluster.wait_for(lambda: "stable_diffusion cpu" in outcomes(tmp_path), "first cell")
        process.send_signal(signal.SIGINT)
        code, said = ray_cluster.ended(process)
    assert code == 130, said
    assert "--resume --name three" in said
    assert "taiyi cpu" not in outcomes(tmp_path)
    with ray_cluster.matrix(
        cluster.address, file, tmp_path, *words, "--resume", env=plugins
    ) as process:
        code, said = ray_cluster.ended(process)
    assert code == 0, said
    assert "kept           stable_diffusion/embedded/torch/fp32/64x64/b1/s2/ddim/cpu" in said
    assert outcomes(tmp_path)["taiyi cpu"] == "ok"


def test_jax_is_built_on_the_node_and_agrees_with_torch_there(
    cluster: TwoNodes, file: Path, plugins: dict[str, str], tmp_path: Path
) -> None:
    with ray_cluster.matrix(cluster.address, file, tmp_path, "--backend=jax", env=plugins) as run:
        code, said = ray_cluster.ended(run)
    assert code == 0, said
    ((jax,),) = (run.cells for run in runs(tmp_path))
    assert (jax.outcome, jax.reason) == ("ok", "")
    assert jax.timings.build_cold and jax.timings.build_cached and len(jax.interleaved) == 1
    assert jax.agreement is not None and jax.agreement.image_max is not None
