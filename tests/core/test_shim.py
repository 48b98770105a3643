"""`shim/` on PYTHONPATH: torch is the real one, in every way that a script can see."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core.interpreter import ROOT, SHIM, Interpreter

TORCH = "print('torch runs')\nfrom torch import part\n"


@pytest.fixture
def python(tmp_path: Path) -> Interpreter:
    interpreter = Interpreter(tmp_path)
    interpreter.add("torch/__init__.py", TORCH)
    interpreter.add("torch/part.py", "value = 1")
    return interpreter


def watched(interpreter: Interpreter) -> Interpreter:
    """With an sdbackends that only says when it is called."""
    interpreter.add("sdbackends/__init__.py", "")
    interpreter.add("sdbackends/host/__init__.py", "")
    interpreter.add(
        "sdbackends/session.py",
        """
        def enter_script():
            print("before")
            return lambda: print("after")
        """,
    )
    return interpreter


DESCRIBE = """
import os, sys
import torch.part
import torch as again
spec = torch.__spec__
print(torch.__file__, spec.origin)
print(type(spec).__name__, type(spec.loader).__name__, vars(spec.loader).keys(), torch.__path__)
print(spec.loader is torch.__loader__, again is sys.modules["torch"], vars(torch).keys())
print("sitecustomize" in sys.modules)
"""


@pytest.mark.parametrize("options", [(), ("-S",)], ids=["site", "no-site"])
def test_torch_looks_as_without_the_shim(python: Interpreter, options: tuple[str, ...]) -> None:
    python.options = options
    with_shim = python.says(DESCRIBE)
    python.shim = False
    assert with_shim == python.says(DESCRIBE)


def test_the_real_torch_is_found_before_it_is_imported(python: Interpreter) -> None:
    script = """
    import importlib.machinery, importlib.util
    for find in (importlib.util.find_spec, importlib.machinery.PathFinder.find_spec):
        print(find("torch").origin)
    """
    assert python.says(script) == [str(python.libraries / "torch" / "__init__.py")] * 2


@pytest.mark.parametrize("options", [(), ("-S",)], ids=["site", "no-site"])
def test_sdbackends_is_called_around_torch(python: Interpreter, options: tuple[str, ...]) -> None:
    python.options = options
    script = "import torch\nimport torch, torch.part"
    assert watched(python).says(script) == ["before", "torch runs", "after"]


def test_asking_for_torch_does_not_call_sdbackends(python: Interpreter) -> None:
    script = "import importlib.util\nprint(importlib.util.find_spec('torch') is not None)"
    assert watched(python).says(script) == ["True"]


@pytest.mark.parametrize("options", [(), ("-S",)], ids=["site", "no-site"])
def test_no_torch_at_all(tmp_path: Path, options: tuple[str, ...]) -> None:
    # Whether this interpreter has a torch of its own must not matter.
    script = """
    import sys
    sys.path[:] = [p for p in sys.path if "site-packages" not in p]
    try:
        import torch
    except ImportError as error:
        print(type(error).__name__, error, error.name)
    print([name for name in sys.modules if name.partition(".")[0] == "torch"])
    """
    lines = Interpreter(tmp_path, options=options).says(script)
    assert lines == ["ModuleNotFoundError No module named 'torch' torch", "[]"]


def test_without_torch_nothing_is_found(tmp_path: Path) -> None:
    script = """
    import sys
    sys.path[:] = [p for p in sys.path if "site-packages" not in p]
    import importlib.util, pkgutil
    print(importlib.util.find_spec("torch"), "torch" in {m.name for m in pkgutil.iter_modules()})
    """
    assert Interpreter(tmp_path).says(script)[0].startswith("None")


def test_a_torch_that_fails_is_the_scripts_own_business(python: Interpreter) -> None:
    python.add("torch/__init__.py", "import builtins\nbuiltins.runs.append(1)\n1 / len(runs[1:])")
    script = """
    import builtins, sys
    builtins.runs = []
    try:
        import torch
    except ZeroDivisionError as error:
        print("failed:", error, "torch" in sys.modules)
    import torch
    """
    failed = "failed: division by zero False"
    assert watched(python).says(script) == ["before", failed, "before", "after"]


def test_reload_runs_torch_alone(python: Interpreter) -> None:
    script = "import importlib, torch\nprint(importlib.reload(torch) is torch)"
    lines = watched(python).says(script)
    assert lines == ["before", "torch runs", "after", "torch runs", "True"]


def test_a_torch_that_only_another_finder_knows(python: Interpreter) -> None:
    (python.libraries / "torch").rename(python.folder / "elsewhere")
    script = """
    import importlib.util, sys

    class Editable:
        @classmethod
        def find_spec(cls, name, path=None, target=None):
            if name == "torch":
                return importlib.util.spec_from_file_location(name, "elsewhere/__init__.py")

    sys.meta_path.append(Editable)
    sys.path[:] = [p for p in sys.path if "site-packages" not in p]
    import torch
    """
    assert watched(python).says(script) == ["before", "torch runs", "after"]


def test_the_hidden_sitecustomize_runs(python: Interpreter) -> None:
    other = python.add("sitecustomize.py", "print('theirs', __name__, __spec__.name)")
    script = "import sitecustomize, os\nprint(os.path.samefile(sitecustomize.__file__, OTHER))"
    lines = watched(python).says(f"OTHER = {str(other)!r}\n{script}\nimport torch")
    expected = ["theirs sitecustomize sitecustomize", "True", "before", "torch runs", "after"]
    assert lines == expected


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_children_are_as_the_parent(python: Interpreter, method: str) -> None:
    script = f"""
    import multiprocessing

    def child():
        import torch
        print("in the child:", torch.part.value, flush=True)

    if __name__ == "__main__":
        process = multiprocessing.get_context({method!r}).Process(target=child)
        process.start()
        process.join()
        print(process.exitcode)
    """
    lines = watched(python).says(script)
    assert lines == ["before", "torch runs", "after", "in the child: 1", "0"]


def test_a_script_without_torch_gets_one_module_more(python: Interpreter) -> None:
    script = "import sys\nprint(*sorted(sys.modules))"
    with_shim = set(python.says(script)[0].split())
    python.shim = False
    assert with_shim - set(python.says(script)[0].split()) == {"sdbackends_shim"}


def broken(interpreter: Interpreter) -> Interpreter:
    """With an sdbackends that cannot be imported here."""
    interpreter.add("sdbackends/__init__.py", "raise ImportError('no such thing here')")
    return interpreter


def test_without_sdbackends_it_is_plain_torch_and_one_line(python: Interpreter) -> None:
    done = broken(python).run("import torch", SD_BACKEND="jax")
    assert (done.returncode, done.stdout) == (0, "torch runs\n")
    assert done.stderr.count("\n") == 1
    assert "-m pip install" in done.stderr and str(ROOT) in done.stderr


def test_an_sdbackends_of_another_version_is_told(python: Interpreter) -> None:
    watched(python).add("sdbackends/session.py", "")
    done = python.run("import torch", SD_BACKEND="torch")
    assert (done.returncode, done.stdout) == (0, "torch runs\n")
    assert done.stderr.count("\n") == 1 and "-m pip install" in done.stderr


@pytest.mark.parametrize("env", [{}, {"SD_BACKEND": ""}])
def test_without_sdbackends_and_a_choice_there_is_no_line(
    python: Interpreter, env: dict[str, str]
) -> None:
    assert broken(python).says("import torch", **env) == ["torch runs"]


def test_without_sdbackends_fallback_error_is_an_import_error(python: Interpreter) -> None:
    done = broken(python).run("import torch", SD_BACKEND="jax", SD_FALLBACK="error")
    assert done.returncode == 1 and done.stdout == ""
    assert "ImportError: sdbackends: cannot be used by" in done.stderr


SWALLOWS = """
try:
    import torch
except Exception:
    print("swallowed")
"""


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"SD_BACKEND": "jaxx"}, ["there is no backend 'jaxx'", "did you mean 'jax'?"]),
        ({"SD_BACKEND": "unet=jax,unet=torch"}, ["cannot be read", "unet=torch"]),
        ({"SD_BACKEND": "jax", "SD_PRECISION": "fp8"}, ["SD_PRECISION='fp8'", "bf16"]),
    ],
)
def test_wrong_words_end_the_script(
    python: Interpreter, env: dict[str, str], words: list[str]
) -> None:
    done = python.run(SWALLOWS, **env)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert all(word in done.stderr for word in words)


def test_nothing_chosen_is_plain_torch_and_silence(python: Interpreter) -> None:
    script = "import sys, torch\nprint([n for n in sys.modules if n.endswith('host.cuda')])"
    assert python.says(script) == ["torch runs", "[]"]


@pytest.mark.parametrize(
    "script",
    ["import torch, diffusers, diffusers", "import diffusers", "import diffusers, torch"],
)
def test_nothing_chosen_says_once_how_to_choose(python: Interpreter, script: str) -> None:
    python.add("diffusers.py", "import torch")
    done = python.run(script)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "sdbackends: SD_BACKEND is not set: plain torch. Choose one: export SD_BACKEND=jax "
        "(see `sdbackends backends`)"
    ]


def test_the_folder_holds_nothing_else() -> None:
    names = {path.name for path in SHIM.iterdir()} - {"__pycache__"}
    assert names == {"sitecustomize.py", "sdbackends_shim.py", "torch"}
