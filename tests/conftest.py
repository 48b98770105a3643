"""What every test stands on: a quiet, offline process that touches nothing of the user's.

Set before any test module is imported: no `SD_*` variable of the user, caches in a folder of this
run, hubs offline, few threads. The fixtures give models and run scripts as a person would.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.conformance import known_failures
from tests.scripts import RunScript

_run_folder: list[str] = []

# How fast examples come says how busy the machine is, and nothing of what is tested.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--engines",
        default="jax,compile",
        metavar="A,B,…",
        help="backends that the tests of agreement run on (default: %(default)s)",
    )
    parser.addoption(
        "--support-backends",
        default="torch=*-text_to_image,jax,openvino=sd15-text_to_image,compile=pixart-text_to_image",
        metavar="A,B=CASES,…",
        help="backends that the cases of tests/conformance/families run on, all or those that a "
        "pattern names (default: %(default)s); `nox -s support` runs all",
    )


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts what goes on in the background with SIGINT ignored, and children inherit that:
    # Ctrl-C would do nothing in the tests of it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if "PYTEST_XDIST_WORKER" in os.environ:
        return  # the variables of the process that started this one: one cache for all workers
    folder = tempfile.mkdtemp(prefix="sdbackends-tests-")
    _run_folder.append(folder)
    for name in [name for name in os.environ if name.startswith("SD_")]:
        # Where worker environments stand, and what the chores hand to the tests, is no choice.
        if name != "SD_ENV_DIR" and not name.startswith("SD_TEST_"):
            del os.environ[name]
    os.environ.update(
        SD_CACHE_DIR=str(Path(folder, "cache")),
        TORCHINDUCTOR_CACHE_DIR=os.environ.get(
            "SD_TEST_INDUCTOR_CACHE", str(Path(folder, "inductor"))
        ),
        HF_HOME=str(Path(folder, "hub")),
        HF_HUB_OFFLINE="1",
        TRANSFORMERS_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        TOKENIZERS_PARALLELISM="false",
    )
    # Each worker has one core; more threads gain nothing on models so small.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_unconfigure() -> None:
    while _run_folder:
        shutil.rmtree(_run_folder.pop(), ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Only a full run can tell that a line names no test at all.
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    left_out = tuple(str(path).rstrip("/") + "/" for path in config.getoption("ignore") or ())
    engines = config.getoption("--engines").split(",")
    lines = [
        line
        for line in known_failures.read_all()
        if not line.pattern.startswith(left_out or "\0") and line.is_for(engines)
    ]
    known_failures.mark(items, lines, complain_of_unused=whole)


@pytest.fixture(scope="module", autouse=True)
def no_session_is_left() -> Iterator[None]:
    """A session that outlives its module would change what the tests after it see."""
    yield
    if (module := sys.modules.get("sdbackends.session")) is None:
        return
    left = module.active()
    module.close_all()
    assert left is None, f"a session is still on: {', '.join(left.settings.backend.names)}"


@pytest.fixture(scope="module", autouse=True)
def torch_is_as_it_was() -> Iterator[None]:
    """A trace that a timeout or a signal cut off leaves its wrapper around the calls of modules.

    What fails after it says nothing of the cause.
    """
    yield
    if (torch := sys.modules.get("torch")) is not None:
        assert not hasattr(torch.nn.Module.__call__, "__wrapped__"), "torch.fx still traces"


@pytest.fixture(scope="session")
def tiny_pipe_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion pipeline in diffusers' layout: real classes, tiny, random weights."""
    pytest.importorskip("diffusers")
    from tests.tiny_pipeline import save

    return save(tmp_path_factory.mktemp("tiny-pipeline"))


@pytest.fixture(scope="session")
def embedded_models() -> dict[str, Path]:
    """The folders of the two trained models, by name: `sd` (English) and `taiyi` (Chinese)."""
    from sdbackends.paths import pipelines_dir

    folders = {name: pipelines_dir() / "tiny" / name for name in ("sd", "taiyi")}
    missing = [str(path) for path in folders.values() if not (path / "model_index.json").is_file()]
    assert not missing, f"this checkout lacks embedded models: {', '.join(missing)}"
    return folders


@pytest.fixture
def run_script(tmp_path: Path) -> RunScript:
    """Run a script in a process of its own, as after `eval "$(sd-mock BACKEND)"`.

    `run_script(text_or_path, *args, backend=…, env=…)` gives `.stdout`, `.stderr`, `.code`;
    `shim=False` runs it as without sdbackends.
    """
    return RunScript(tmp_path)
