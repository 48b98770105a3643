"""Backends are data: every file is right, a wrong one is refused with its line, lacks are named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from sdbackends import paths
from sdbackends.catalog import backend_files, requirements
from sdbackends.catalog.backend_files import Readiness
from sdbackends.catalog.requirements import MissingRequirement
from sdbackends.errors import (
    BackendNotReadyError,
    CatalogError,
    UnknownBackendError,
    UsageError,
)

GOOD = """\
engine: eager
summary: a test
requirements: [torch==2.13.0]
modules: {torch: ">=2"}
precisions: [fp32]
devices: [cpu]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty `backends/` in place of the real one."""
    monkeypatch.setattr(paths, "backends_dir", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Package -> version: what this machine seems to have."""
    packages: dict[str, str] = {}
    monkeypatch.setattr(requirements, "version", packages.get)
    monkeypatch.setattr(requirements, "importable", packages.__contains__)
    monkeypatch.setattr(requirements.importlib.metadata, "requires", lambda package: [])
    return packages


@pytest.mark.parametrize("name", backend_files.names())
def test_each_file_pins_what_it_needs_to_versions_that_it_accepts(name: str) -> None:
    backend = backend_files.load(name)
    assert backend.name == name
    pins = {r.name: r for r in map(Requirement, backend.requirements)}
    for module, accepted in backend.modules.items():
        (pin,) = pins[module].specifier
        assert pin.operator == "=="
        assert Requirement(module + accepted).specifier.contains(pin.version)


def test_the_backends_of_the_readme_are_there() -> None:
    assert {"torch", "compile", "jax"} <= set(backend_files.names())


@pytest.mark.parametrize(
    ("name", "hint"), [("jaxx", "did you mean 'jax'"), ("Torch", "'torch'"), ("zzz", "sdbackends")]
)
def test_an_unknown_name_is_answered_with_the_list_and_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(UnknownBackendError, match=hint) as error:
        backend_files.load(name)
    assert "compile" in str(error.value) and error.value.exit_code == 2


@pytest.mark.parametrize("name", ["../torch", "a/b", ""])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(UnknownBackendError):
        backend_files.load(name)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        (GOOD.replace("eager", "warp"), 1, "no engine 'warp'"),
        (GOOD + "colour: red\n", 7, "colour"),
        (GOOD.replace("[fp32]", "[fp32, fp3]"), 5, "precisions.1"),
        (GOOD.replace("[fp32]", "{cpu: [fp32, fp3]}"), 5, "precisions.cpu.1"),
        (GOOD.replace("[fp32]", "{}"), 1, "precisions are for none"),
        (GOOD.replace("[fp32]", "{gpu: [fp32]}"), 5, "precisions.gpu"),
        (GOOD.replace("[cpu]", "[cpu, cuda]").replace("[fp32]", "{cpu: [fp32]}"), 1, "devices"),
        (GOOD.replace(">=2", "new"), 4, "no version range"),
        (GOOD + "host: jax\n", 7, "host"),
        (GOOD + "host: oneflow\n", 7, "must end in '-host'"),
        (GOOD + "worker: warp\n", 7, "no environment 'warp'"),
        (GOOD.replace("summary: a test\n", ""), 1, "summary"),
        (GOOD + "options: [\n", 8, "expected the node content"),
        ("- torch\n", 1, "list"),
        ("", 1, "NoneType"),
    ],
)
def test_a_broken_file_is_refused_with_its_line_and_key(
    folder: Path, text: str, line: int, why: str
) -> None:
    (folder / "mine.yaml").write_text(text)
    with pytest.raises(CatalogError) as error:
        backend_files.load("mine")
    assert f"mine.yaml:{line}" in error.value.where
    assert why in error.value.why


@pytest.mark.parametrize(
    ("engine", "options", "place", "why", "fix"),
    [
        ("eager", "{fast: 1}", "7:11", "engine 'eager' has no option 'fast'", "none"),
        ("jax", "{conv: auto, layout: warp}", "7:23", "'layout' of engine 'jax'", "'nhwc'"),
        ("inductor", "\n  freezing: 1", "8:3", "'freezing' of engine 'inductor'", "False, True"),
        ("inductor", "\n  speed: 1", "8:3", "no option 'speed'", "channels_last, dynamic"),
        ("oneflow", "\n  mode: graph\n  build_timeout: 0", "9:3", "'build_timeout'", "seconds"),
        ("oneflow", "{graphs: 4}", "7:11", "no option 'graphs'", "graph_memory_limit, mode"),
        ("oneflow\nhost: oneflow", "{mode: graph}", "8:11", "no option 'mode'", "graphs"),
    ],
)
def test_a_bad_option_is_refused_with_its_place_where_no_engine_is_installed(
    tmp_path: Path, engine: str, options: str, place: str, why: str, fix: str
) -> None:
    text = GOOD.replace("eager", engine) + f"options: {options}\n"
    (tmp_path / "mine-host.yaml").write_text(text)
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['torch', 'jax', 'numpy', 'oneflow', 'diffusers']))\n"
        "hook = sys.unraisablehook\n"
        "from sdbackends.catalog import backend_files\n"
        "from sdbackends.errors import CatalogError\n"
        "try: backend_files.load('mine-host')\n"
        "except CatalogError as error: print(error.where, error.why, error.fix, sep='\\n')\n"
        "assert sys.unraisablehook is hook"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "SD_BACKENDS_DIR": str(tmp_path)},
    )
    where, said, mended = done.stdout.splitlines()
    assert where == f"{tmp_path / 'mine-host.yaml'}:{place}"
    assert why in said and said.startswith(f"line {place.partition(':')[0]}, options.")
    assert mended.startswith("accepted: ") and fix in mended


def test_every_bad_option_is_named(folder: Path) -> None:
    text = GOOD.replace("eager", "jax") + "options:\n  layout: warp\n  speed: 1\n"
    (folder / "mine.yaml").write_text(text)
    with pytest.raises(CatalogError) as error:
        backend_files.load("mine")
    assert "line 8, options.layout: " in error.value.why
    assert "line 9, options.speed: " in error.value.why


@pytest.mark.parametrize(
    ("more", "key", "place", "first"),
    [
        ("summary: again\n", "summary", "7:1", 2),
        ("options:\n  layout: nhwc\n  conv: auto\n  layout: nchw\n", "layout", "10:3", 8),
        ("options: {layout: nhwc, layout: nhwc}\n", "layout", "7:25", 7),
    ],
)
def test_a_key_that_is_written_twice_is_refused_with_both_lines(
    folder: Path, more: str, key: str, place: str, first: int
) -> None:
    (folder / "mine.yaml").write_text(GOOD.replace("eager", "jax") + more)
    with pytest.raises(CatalogError, match=f"says {key} twice") as error:
        backend_files.load("mine")
    assert error.value.where == f"{folder / 'mine.yaml'}:{place}"
    assert f"in line {first} already" in error.value.why


def test_what_is_merged_in_is_no_double_and_is_pointed_at_where_it_stands(folder: Path) -> None:
    text = GOOD.replace("eager", "jax").replace("{torch:", "&m {jax: '>=0', torch:")
    (folder / "mine.yaml").write_text(text)
    assert backend_files.load("mine").modules == {"jax": ">=0", "torch": ">=2"}
    (folder / "mine.yaml").write_text(text + "options: {<<: *m, jax: '>=1'}\n")
    with pytest.raises(CatalogError) as error:
        backend_files.load("mine")
    assert "line 7, options.jax: " in error.value.why  # its own, not the one merged in
    assert "line 4, options.torch: " in error.value.why


def test_precisions_are_those_of_every_device_or_of_each(folder: Path) -> None:
    (folder / "all.yaml").write_text(GOOD.replace("[fp32]", "[fp32, bf16]"))
    assert backend_files.load("all").precisions_on("cuda") == ("fp32", "bf16")
    each = GOOD.replace("[fp32]", "{cpu: [fp32], cuda: [fp16, fp32]}")
    (folder / "each.yaml").write_text(each.replace("[cpu]", "[cpu, cuda]"))
    backend = backend_files.load("each")
    assert backend.precisions_on("cpu") == ("fp32",)
    assert backend.precisions_on("cuda:1") == ("fp16", "fp32")
    assert backend.precisions_on(None) == backend.precisions_on("tpu") == ("fp32", "fp16")


def test_bytes_that_are_no_text_are_refused(folder: Path) -> None:
    (folder / "mine.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(CatalogError, match=r"mine\.yaml cannot be read"):
        backend_files.load("mine")


def test_a_new_file_is_a_new_backend(folder: Path) -> None:
    (folder / "mine.yaml").write_text(GOOD)
    assert backend_files.names() == ("mine",)
    assert backend_files.load("mine").engine == "eager"


def test_ready_when_everything_is_there(installed: dict[str, str]) -> None:
    installed.update(torch="2.13.0+cpu", diffusers="0.42.1", transformers="5.23.0")
    assert backend_files.readiness(backend_files.load("torch")) == Readiness(True, "2.13.0+cpu", ())


def test_what_is_missing_or_too_old_comes_with_the_command_that_fixes_it(
    installed: dict[str, str],
) -> None:
    installed.update(torch="2.0.1", transformers="5.23.0")
    state = backend_files.readiness(backend_files.load("torch"))
    assert (state.ready, state.installed) == (False, "2.0.1")
    old, missing = state.reasons
    assert "torch 2.0.1 is installed" in old.why
    assert old.fix == f"{requirements.python()} -m pip install torch==2.13.0"
    assert missing.why == "diffusers is not installed"
    assert missing.fix.endswith("-m pip install diffusers==0.42.1")


def test_a_jaxlib_that_does_not_match_its_jax_is_told(
    installed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed.update(jaxlib="9.9", jax="0.11.2", numpy="1.0")
    asks = {"jax": ["jaxlib<=0.11.2,>=0.11.2", 'jaxlib==1; extra == "cuda"', "numpy>=99"]}
    monkeypatch.setattr(requirements.importlib.metadata, "requires", lambda name: asks.get(name))
    lacks = requirements.module_lacks(dict.fromkeys(["jax", "jaxlib"], ">=0.10"), ["jax==0.11.2"])
    (lack,) = lacks
    assert "jax 0.11.2 needs jaxlib" in lack.why and "not 9.9" in lack.why


def test_another_python_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements.platform, "python_version", lambda: "3.10.13")
    assert requirements.python_lacks(">=3.10") == []
    (lack,) = requirements.python_lacks(">=3.11")
    assert "3.10.13" in lack.why and "3.11" in lack.fix


def test_a_missing_compiler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    reasons = backend_files.readiness(backend_files.load("compile")).reasons
    assert "no-such-compiler" in reasons[-1].why
    assert "c++" not in backend_files.load("torch").programs


def _ready(*names: str) -> object:
    return lambda backend: Readiness(
        backend.name in names,
        "1",
        () if backend.name in names else (MissingRequirement("gone", "fetch it"),),
    )


@pytest.mark.parametrize(
    ("device", "ready", "best"),
    [
        ("cuda", ("torch", "compile", "jax"), "compile"),
        ("cuda", ("torch", "jax"), "jax"),
        ("cpu", ("torch", "compile", "jax"), "jax"),
        ("cpu", ("torch", "compile"), "compile"),
        ("cpu", ("torch", "compile-max"), "torch"),
        ("tpu", ("torch", "jax"), "jax"),
    ],
)
def test_auto_takes_the_best_that_is_ready(
    monkeypatch: pytest.MonkeyPatch, device: str, ready: tuple[str, ...], best: str
) -> None:
    monkeypatch.setattr(requirements, "device", lambda: device)
    monkeypatch.setattr(backend_files, "readiness", _ready(*ready))
    assert backend_files.load("auto").name == best


def test_auto_with_nothing_ready_says_what_to_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_files, "readiness", _ready())
    with pytest.raises(BackendNotReadyError, match="fix: fetch it"):
        backend_files.auto()


def test_require_refuses_what_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_files, "readiness", _ready("torch"))
    assert backend_files.require("torch").name == "torch"
    with pytest.raises(BackendNotReadyError, match="'jax' is not ready"):
        backend_files.require("jax")


def test_no_framework_is_imported_to_judge_readiness() -> None:
    code = (
        "import sys; from sdbackends.catalog import backend_files as catalog\n"
        "for backend in catalog.all(): catalog.readiness(backend)\n"
        "print({'torch', 'jax', 'diffusers', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's, beside the real one."""
    monkeypatch.setenv("SD_BACKENDS_DIR", str(tmp_path))
    return tmp_path


def test_backends_of_the_users_stand_beside_the_others(own: Path) -> None:
    (own / "mine.yaml").write_text(GOOD)
    assert {"mine", "torch", "jax"} <= set(backend_files.names())
    assert backend_files.load("mine").engine == "eager"
    assert backend_files.load("torch").summary != "a test"


@pytest.mark.parametrize("name", ["torch", "auto"])
def test_a_name_that_is_taken_is_refused(own: Path, name: str) -> None:
    (own / f"{name}.yaml").write_text(GOOD)
    with pytest.raises(UsageError, match=f"my-{name}.yaml"):
        backend_files.names()


def test_a_folder_that_is_none_is_refused(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SD_BACKENDS_DIR", str(own / "nowhere"))
    with pytest.raises(UsageError, match="is no folder"):
        backend_files.names()


def test_an_engine_of_the_users_is_named_by_its_place(own: Path) -> None:
    (own / "mine.yaml").write_text(GOOD.replace("eager", "nowhere_at_all.engine:Mine"))
    reasons = backend_files.readiness(backend_files.load("mine")).reasons
    (lack,) = [one for one in reasons if "engine" in one.why]
    assert "nowhere_at_all.engine" in lack.why and "PYTHONPATH" in lack.fix
