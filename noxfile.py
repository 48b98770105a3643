"""The chores of this repository: `nox -s demo`, `nox -s matrix`, `nox -s tests`, `nox -s lint`, …

Arguments after `--` are passed on: `nox -s tests -- -k jax`. demo, tests and lint share one
environment, `.nox/full`, because torch is large; `core` makes a small one for each Python that
the machine has. An environment is kept until the files that it was made from change.

`nox -s tests-oneflow` runs the tests that need OneFlow: in `.nox/full` too, with the 4 GB of
`sdbackends env create oneflow` beside it (`nox -s env-oneflow` makes just that).

`nox -s faults` injects every fault that was found, those included that take minutes.

`nox -s support` runs every model family and feature on each backend and writes docs/support.md.

`nox -s diffusers-suite -- --source DIR --backend jax` runs diffusers' own tests, from a checkout of
it, through the shim; `transformers-suite` those of the text encoders (`--help` for their options).

`nox -s matrix` measures every backend, each in an environment made from that backend's yaml
(backends that ask for the same share one): `nox -s "matrix(backend='jax')" -- --quick`.

`SD_TORCH` names another torch than the tested one: `SD_TORCH=torch==2.11.0 nox -s tests`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nox
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))
import sdbackends.catalog.interpreters  # noqa: E402  (standard library only)
import sdbackends.paths  # noqa: E402  (the same)

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["lint", "core", "tests-oneflow", "tests"]

PINS = ROOT / "requirements" / "tested.txt"
FULL = ["-e", ".[demo,test,suites,lint]"]
CORE = ["-e", ".", "hypothesis", "pytest", "pytest-timeout"]
CORE_TESTS = ["tests/core", "tests/shim"]
MINORS = sdbackends.catalog.interpreters.MINORS
_PURELIB = "import sysconfig; print(sysconfig.get_path('purelib'))"
ONEFLOW_TESTS = ["tests/engines/oneflow", "tests/oneflow_host"]
#: The first words of the ids of tests that `nox -s slow` runs. tests/agreement has the schedulers
#: that people use on jax, tests/scripts all cases on jax.
SLOW_TESTS = [
    "tests/conformance/families/test_schedulers.py::test_schedulers[jax-",
    "tests/scripts/test_scripts.py::test_script[compile-",
    "tests/agreement/test_pictures.py::test_picture_is_within_2_of_255_and_models_within_1e_4"
    "[compile-pndm-taiyi",
    *(
        f"tests/conformance/families/test_bf16.py::test_bf16[jax-{family}-"
        for family in ("sd21", "sdxl_turbo", "ssd1b", "taiyi_en", "taiyi_xl")
    ),
    # What SDXL and Flux do as SD 1.5 does; both draw a picture in `tests` too.
    *(
        f"tests/conformance/families/test_{room}.py::test_{room}[jax-sdxl-"
        for room in ("adapters", "controlnet", "features", "pipelines")
    ),
    "tests/conformance/families/test_hooks.py::test_hooks[jax-flux-",
]
#: Of tests/faults, what takes minutes: `nox -s faults` runs it.
LONG_FAULTS = [
    "tests/faults/test_forks.py::test_a_script_that_forks_in_every_way[compile",
    "tests/faults/test_forks.py::test_a_script_that_forks_in_every_way[oneflow",
    "tests/faults/test_memory.py::test_models_that_come_and_go_are_collected[compile",
    "tests/faults/test_memory.py::test_models_that_come_and_go_are_collected[oneflow",
    "tests/faults/test_pictures.py",
]
ONEFLOW_ENGINES = "oneflow,oneflow-eager"
#: A text encoder or a denoiser of each kind; `nox -s support` runs all on OneFlow, 20 s each.
ONEFLOW_FAMILIES = ("sd15", "taiyi", "altdiffusion", "pixart", "sdxl")
#: One run of the matrix, whose sessions write into one file of results.
MATRIX_RUN = time.strftime("%Y-%m-%d-%H%M%S", time.gmtime())
#: What an environment was made from; it is written when all is installed.
STAMP = "made-from.json"


class NotMadeError(Exception):
    """An environment cannot be had on this machine; the text says why."""


@nox.session(python=False)
def demo(session: nox.Session) -> None:
    """Pictures of the embedded models on torch, compile and jax, in out/demo.png."""
    python = full_environment(session)
    run(session, python.with_name("sdbackends"), "demo", *session.posargs)


@nox.session(python=False)
@nox.parametrize("backend", sdbackends.paths.backend_names())
def matrix(session: nox.Session, backend: str) -> None:
    """Speed and agreement of one backend, as matrix.yaml has it; results/ gets a report.

    All sessions of one `nox -s matrix` write into one file of results. A backend whose environment
    cannot be made here is a line of the report, with the reason.
    """
    options = _matrix_options(session.posargs)
    if options.backend and backend not in ",".join(options.backend).split(","):
        session.skip(f"--backend {' '.join(options.backend)}")
    plan = environment(session, "matrix-plan", sys.executable, ["-e", ".[matrix]"])
    command = plan.with_name("sdbackends")
    asked = ["matrix", "--backend", backend, *options.others]
    cells = _said(session, command, *asked, "--list")
    if options.list or not cells:
        session.log(cells or "the matrix has no such cell on this backend")
        return
    if not options.name and not options.resume:
        asked += ["--resume", "--name", MATRIX_RUN]
    known = json.loads(_said(session, command, "backends", "--json"))
    try:
        python = backend_environment(session, known, backend, quick=options.quick)
    except NotMadeError as error:
        session.warn(str(error))
        run(session, command, *asked, "--not-installed", str(error))
        return
    run(session, python.with_name("sdbackends"), *asked)


@nox.session(python=False)
def tests(session: nox.Session) -> None:
    """All tests but those on OneFlow, one process for each core (at most four; `-- -n 0`: one)."""
    python = full_environment(session)
    # Whole files to one process: their session fixtures hold engines that took long to build.
    spread = ["-n", "logical", "--maxprocesses", "4", "--dist", "loadfile"]
    without = [f"--ignore={folder}" for folder in ONEFLOW_TESTS]
    without += [f"--deselect={tests}" for tests in [*SLOW_TESTS, *LONG_FAULTS]]
    run(session, python, "-m", "pytest", *spread, *without, *session.posargs)


@nox.session(python=False)
def slow(session: nox.Session) -> None:
    """What `tests` leaves out because it takes long.

    All schedulers and families in bfloat16 on jax, what SDXL and Flux do as SD 1.5 does, and
    scripts and pictures on compile and openvino.
    """
    python = full_environment(session)
    spread = ["-n", "logical", "--maxprocesses", "4", "--dist", "loadfile"]
    rooms = ("adapters", "bf16", "controlnet", "features", "hooks", "pipelines", "schedulers")
    which = [f"tests/conformance/families/test_{room}.py" for room in rooms]
    which += ["tests/agreement/test_pictures.py", "tests/scripts/test_scripts.py"]
    engines = "--engines=compile,openvino"
    run(session, python, "-m", "pytest", *spread, *which, engines, *session.posargs)


@nox.session(python=False)
def faults(session: nox.Session) -> None:
    """All of tests/faults, with what takes minutes, and three races of threads of each kind."""
    python = full_environment(session)
    run(session, python.with_name("sdbackends"), "env", "create", "oneflow")
    run(session, python, "-m", "pytest", "tests/faults", *session.posargs)
    for backend in ("jax", "compile", "oneflow"):
        run(session, python, "-m", "tests.faults.races", backend, "--times", "3")


@nox.session(python=False, name="env-oneflow")
def env_oneflow(session: nox.Session) -> None:
    """OneFlow's environment, where `sdbackends` looks for it (4 GB; CPython 3.10 is needed)."""
    python = full_environment(session)
    run(session, python.with_name("sdbackends"), "env", "create", "oneflow", *session.posargs)


@nox.session(python=False, name="tests-oneflow")
def tests_oneflow(session: nox.Session) -> None:
    """The tests that need OneFlow: in its worker environment, and in torch's place."""
    python = full_environment(session)
    run(session, python.with_name("sdbackends"), "env", "create", "oneflow")
    hosts = [str(host_environment(session, python, kind)) for kind in ("new", "old")]
    environ = {"SD_TEST_HOST_PYTHONS": os.pathsep.join(hosts)}
    # Whole files to one process, as in `tests`; the tests of agreement on OneFlow's backends.
    spread = ["-n", "logical", "--maxprocesses", "4", "--dist", "loadfile"]
    which = [*ONEFLOW_TESTS, "tests/agreement", f"--engines={ONEFLOW_ENGINES}"]
    families = ",".join(f"oneflow={name}-text_to_image" for name in ONEFLOW_FAMILIES)
    which += ["tests/conformance/families/test_plain.py", f"--support-backends={families}"]
    # OneFlow 0.9.0 aborts by itself once in thousands of builds ("free(): invalid pointer"), which
    # costs a script one call on eager torch. A test that died so has one more go, and is listed.
    again = ["--reruns", "1", "--only-rerun", "it was ended by SIG"]
    run(session, python, "-m", "pytest", *spread, *again, *which, *session.posargs, **environ)


@nox.session(python=False)
def opinfo(session: nox.Session) -> None:
    """JAX's lowerings on every sample of PyTorch's OpInfo database (`tests` runs a few of each)."""
    python = full_environment(session)
    spread = ["-n", "logical", "--maxprocesses", "4"]
    which = "tests/conformance/opinfo/every_sample.py"
    run(session, python, "-m", "pytest", *spread, which, *session.posargs)


@nox.session(python=False, name="diffusers-suite")
def diffusers_suite(session: nox.Session) -> None:
    """diffusers' own tests on a backend; arguments: --source DIR --backend NAME."""
    outside_suite(session, "diffusers")


@nox.session(python=False, name="transformers-suite")
def transformers_suite(session: nox.Session) -> None:
    """transformers' own tests of CLIP, BERT, XLM-R and T5 on a backend; arguments as above."""
    outside_suite(session, "transformers")


@nox.session(python=False)
def support(session: nox.Session) -> None:
    """docs/support.md anew, by the tests of every family and feature.

    Arguments: --backend NAME --only CASES; Ctrl-C keeps what is done, --missing does the rest.
    """
    python = full_environment(session)
    asked = ",".join(_matrix_options(session.posargs).backend) or "oneflow"
    if "oneflow" in asked.split(",") and not {"--render", "--help"} & {*session.posargs}:
        run(session, python.with_name("sdbackends"), "env", "create", "oneflow")
    run(session, python, "-m", "tests.conformance.families", *session.posargs)


@nox.session(python=False)
def lint(session: nox.Session) -> None:
    """ruff (rules and format) and mypy --strict."""
    python = full_environment(session)
    run(session, python, "-m", "ruff", "check", ".")
    run(session, python, "-m", "ruff", "format", "--check", ".")
    run(session, python, "-m", "mypy", "--strict", "sdbackends")


@nox.session(python=False)
def core(session: nox.Session) -> None:
    """The core and the shim, without torch, on every CPython 3.10 to 3.13 of this machine."""
    found = interpreters()
    words = [f"3.{minor} {found.get(minor, '(not on this machine)')}" for minor in MINORS]
    session.log("CPython: " + ", ".join(words))
    if not found:
        session.error("no CPython 3.10 to 3.13 on PATH, nor where pyenv, uv and conda keep theirs")
    for minor, interpreter in sorted(found.items()):
        python = environment(session, f"core-3.{minor}", interpreter, CORE)
        options = ["--quiet", "--no-header", "--durations=3", *session.posargs]
        run(session, python, "-m", "pytest", *CORE_TESTS, *options)


def run(session: nox.Session, python: Path, *command: str, **more: str) -> None:
    """Run a program of that Python's environment, as in a shell where it is activated."""
    environ = {
        **more,
        "PATH": os.pathsep.join([str(python.parent), os.environ.get("PATH", "")]),
        # A shell in which sd-mock was evaluated has the shim here.
        "PYTHONPATH": "",
    }
    # After Ctrl-C a run of the matrix ends its scripts and writes its report.
    patient = {"interrupt_timeout": 60.0, "terminate_timeout": 30.0}
    session.run(python, *command, env=environ, external=True, **patient)


def outside_suite(session: nox.Session, name: str) -> None:
    """Judge a suite of another project by what plain torch passes (tests/conformance/suites)."""
    python = full_environment(session)
    run(session, python, "-m", "tests.conformance.suites", name, *session.posargs)


def full_environment(session: nox.Session) -> Path:
    """The Python of `.nox/full`, with every engine and tool in it."""
    if sys.version_info < (3, 11):
        session.error(
            f"this is Python {sys.version.split()[0]}; JAX needs 3.11 or newer: "
            "install nox with a newer Python"
        )
    torch = os.environ.get("SD_TORCH") or _pin_of("torch")
    return environment(session, "full", sys.executable, FULL, torch)


def environment(
    session: nox.Session, name: str, interpreter: str, what: list[str], torch: str | None = None
) -> Path:
    """The Python of `.nox/NAME`, made or brought up to date if need be.

    torch is installed first and by an exact version: left to the others' "torch>=…", pip would
    take the newest build, which on Linux carries gigabytes of CUDA.
    """
    folder = ROOT / ".nox" / name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / STAMP
    base = subprocess.run([interpreter, "-VV"], capture_output=True, text=True).stdout.strip()
    made_from = {"where": str(folder), "python": base, "packages": [torch, *what, _declared()]}
    before = json.loads(stamp.read_text()) if stamp.exists() else {}
    if before == made_from and python.exists():
        session.log(f"environment {folder.relative_to(ROOT)} is up to date")
        return python

    session.log(f"making the environment {folder.relative_to(ROOT)}")
    if {**before, "packages": None} != {**made_from, "packages": None} or not python.exists():
        session.run(
            *(sys.executable, "-m", "virtualenv", "--quiet", "--clear"),
            *("--python", interpreter, folder),
            external=True,
        )
    if torch:
        session.log(f"installing {torch} (about 200 MB; several GB with CUDA in it) …")
        _install(session, python, [torch], [])
    session.log(f"installing {' '.join(what)} …")
    # A pin on another version than the one asked for would be a contradiction.
    asked = {"torch", *(line.partition("==")[0] for line in what if "==" in line)}
    lines = PINS.read_text().splitlines()
    pins = [line for line in lines if line.partition("==")[0] not in asked]
    constraints = folder / "pins.txt"
    constraints.write_text("\n".join([*pins, torch or "", ""]))
    _install(session, python, what, ["--constraint", str(constraints)])
    stamp.write_text(json.dumps(made_from))
    return python


def backend_environment(
    session: nox.Session, known: list[dict[str, Any]], backend: str, *, quick: bool
) -> Path:
    """The Python of `.nox/matrix-NAME`, with what the backend's yaml asks for, and its worker's.

    NAME is the first of the backends that ask for just the same. `quick`: what takes gigabytes is
    used where it is, and not made.

    Raises:
        NotMadeError: it cannot be had.
    """

    def asks(one: dict[str, Any]) -> tuple[str, list[str]]:
        return one["python"], sorted(one["requirements"])

    own = next(one for one in known if one["name"] == backend)
    name = "matrix-" + next(one["name"] for one in known if asks(one) == asks(own))
    accepted = SpecifierSet(own["python"])
    found = sdbackends.catalog.interpreters.find()
    fitting = [str(one.path) for one in found if accepted.contains(one.release)]
    if not fitting:
        raise NotMadeError(f"it needs Python {own['python']}, and there is no such CPython here")
    # An engine in torch's place brings its own libraries.
    if quick and own["host"] != "torch" and not (ROOT / ".nox" / name / STAMP).exists():
        whole = f"nox -s \"matrix(backend='{backend}')\""
        raise NotMadeError(f"its environment takes gigabytes: {whole} without --quick makes it")
    torch = next((line for line in own["requirements"] if line.startswith("torch==")), None)
    others = [line for line in own["requirements"] if line != torch]
    if torch:
        torch = os.environ.get("SD_TORCH") or torch
    try:
        python = environment(session, name, fitting[0], ["-e", ".[matrix]", *others], torch)
        if own["worker"] and not quick:
            run(session, python.with_name("sdbackends"), "env", "create", own["worker"])
    except nox.command.CommandFailed:
        wanted = " ".join(own["requirements"])
        raise NotMadeError(f"pip could not make its environment here: {wanted}") from None
    return python


def _matrix_options(words: list[str]) -> argparse.Namespace:
    """What a session itself has to know of the words after `--`; `others` are all but --backend."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--backend", action="append", default=[])
    _, others = parser.parse_known_args(words)
    parser.add_argument("--name")
    for flag in ("--quick", "--resume", "--list"):
        parser.add_argument(flag, action="store_true")
    options, _ = parser.parse_known_args(words)
    options.others = [word for word in others if word != "--list"]
    return options


def host_environment(session: nox.Session, full: Path, kind: str) -> Path:
    """A Python 3.10 with diffusers on top of OneFlow's environment: `.nox/oneflow-host-KIND`.

    A `.pth` file lends it the 4 GB, and sdbackends as it stands here. There is no torch in it.
    """
    folder = ROOT / ".nox" / f"oneflow-host-{kind}"
    python = folder / "bin" / "python"
    stamp = folder / STAMP
    requirements = ROOT / "requirements" / f"oneflow-host-{kind}.txt"
    oneflow = _output(
        full, "from sdbackends.catalog import environments as e; print(e.folder('oneflow'))"
    )
    lent = [_output(Path(oneflow, "bin", "python"), _PURELIB), str(ROOT)]
    made_from = {"where": str(folder), "lent": lent, "packages": requirements.read_text()}
    if python.exists() and stamp.exists() and json.loads(stamp.read_text()) == made_from:
        session.log(f"environment {folder.relative_to(ROOT)} is up to date")
        return python

    session.log(f"making the environment {folder.relative_to(ROOT)}")
    session.run(
        *(sys.executable, "-m", "virtualenv", "--quiet", "--clear"),
        *("--python", Path(oneflow, "bin", "python"), folder),
        external=True,
    )
    Path(_output(python, _PURELIB), "lent.pth").write_text("\n".join([*lent, ""]))
    session.log(f"installing what {requirements.relative_to(ROOT)} lists …")
    # No dependencies: they would bring torch, and all that is needed is listed.
    _install(session, python, ["--requirement", str(requirements)], ["--no-deps"])
    stamp.write_text(json.dumps(made_from))
    return python


def interpreters() -> dict[int, str]:
    """The CPythons of this machine, by minor version: {10: "/usr/bin/python3.10", …}."""
    found: dict[int, str] = {}
    for interpreter in sdbackends.catalog.interpreters.find():
        if interpreter.version[1] in MINORS:
            found.setdefault(interpreter.version[1], str(interpreter.path))
    return found


def _output(python: Path, code: str) -> str:
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _said(session: nox.Session, program: Path, *command: str) -> str:
    """What the program printed; what it complains of ends the session."""
    done = subprocess.run([program, *command], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        session.error(f"sdbackends {' '.join(command)} failed")
    return done.stdout.strip()


def _install(session: nox.Session, python: Path, what: list[str], options: list[str]) -> None:
    # With a terminal pip's progress bars are the best sign of life; in a log they are noise.
    quiet = [] if sys.stderr.isatty() else ["-qq"]
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", *quiet]
    session.run(*pip, *options, *what, external=True)


def _pin_of(package: str) -> str:
    return next(line for line in PINS.read_text().splitlines() if line.startswith(f"{package}=="))


def _declared() -> str:
    """A hash of what the project asks pip for; the settings of tools do not count."""
    project = nox.project.load_toml(ROOT / "pyproject.toml")["project"]
    return hashlib.sha256((json.dumps(project) + PINS.read_text()).encode()).hexdigest()
