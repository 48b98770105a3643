"""`sd-mock --check` as a person meets it: text, JSON, exit codes, wrong words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sdbackends.cli import check, sd_mock
from sdbackends.oneflow_host import name_list_query
from sdbackends.oneflow_host.kept_name_lists import MadeFrom
from tests.oneflow_host.check.conftest import SMALL, FakeNames, Project

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def command(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> object:
    """Runs `sd-mock` with these words in the project's folder: (code, stdout, stderr)."""
    monkeypatch.chdir(project.folder)
    monkeypatch.setattr(check, "_names", FakeNames)
    monkeypatch.syspath_prepend(str(project.site))

    def run(*words: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["sd-mock", *words])
        with pytest.raises(SystemExit) as ended:
            sd_mock()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return run


def test_a_clean_script(project: Project, command) -> None:
    project.write("script.py", "import torch\ntorch.randn(2)")
    code, out, err = command("--check", "script.py")
    assert (code, err) == (0, "")
    assert "Nothing that OneFlow lacks stands in the way" in out
    assert "OneFlow 0.9.0 on Python 3.10.13" in out


def test_file_line_name_and_why(project: Project, command) -> None:
    project.write("script.py", "import torch, mine\n\ndef draw():\n    torch.gone()")
    project.write("mine.py", "from torch import gone")
    code, out, _ = command("--check", "script.py")
    assert code == 1
    assert out.splitlines()[:4] == [
        "script.py:4: torch.gone — no torch.gone (in draw)",
        "",
        "mine.py:1: torch.gone — no torch.gone",
        "",
    ]
    assert "2 names in your own files" in out


def test_what_is_guarded_is_counted_and_listed_on_demand(project: Project, command) -> None:
    project.write("script.py", "import torch\nhasattr(torch, 'gone') and torch.gone()")
    code, out, _ = command("--check", "script.py")
    assert code == 0
    assert ": torch." not in out and "1 name guarded" in out and "--all" in out
    everything = command("--check", "script.py", "--all")[1]
    assert len([line for line in everything.splitlines() if ": torch." in line]) == 1


def test_what_is_installed_is_said_not_to_be_read(project: Project, command) -> None:
    project.library("lib/__init__.py", "from torch import gone")
    project.write("script.py", "import lib")
    code, out, _ = command("--check", "script.py")
    assert code == 0
    assert "Installed, and not read: lib." in out and "sdbackends doctor oneflow-host" in out


def test_json_holds_all_of_it(project: Project, command) -> None:
    project.write(
        "script.py", "import torch\ngetattr(torch, x)\ngetattr(torch, 'gone', 0)\ntorch.gone"
    )
    code, out, _ = command("--check", "script.py", "--json")
    record = json.loads(out)
    assert code == 1
    assert record["counts"] == {"own": 1, "guarded": 1}
    assert [(name["line"], name["weight"]) for name in record["names"]] == [
        (3, "guarded"),
        (4, "own"),
    ]
    assert record["computed"] == [{"file": "script.py", "line": 2, "words": "getattr(torch, x)"}]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("absent.py", None, "'absent.py' cannot be read"),
        ("broken.py", "import torch\nx = = 1", "broken.py:2"),
        ("null.py", "x\0", "null.py is not Python"),
        ("book.ipynb", "{}", "nbconvert"),
        ("folder.py/x", "", "'folder.py' cannot be read"),
    ],
)
def test_what_is_no_script(
    project: Project, command, name: str, text: str | None, says: str
) -> None:
    if text is not None:
        project.write(name, text)
    code, out, err = command("--check", name.partition("/")[0])
    assert (code, out) == (2, "")
    assert says in err and "Traceback" not in err


@pytest.mark.parametrize(
    "words",
    [["--check", "s.py", "jax"], ["--check", "s.py", "--off"], ["--all"], ["--json", "jax"]],
)
def test_words_that_do_not_go_together(command, words: list[str]) -> None:
    code, out, err = command(*words)
    # What may stand in `eval "$(…)"` fails there too.
    assert (code, out) == (2, "" if "--check" in words else "false;\n")
    assert "fix:" in err


def test_the_host_may_be_named(project: Project, command) -> None:
    project.write("script.py", "")
    assert command("--check", "script.py", "oneflow-host")[0] == 0


def test_what_is_no_script_is_said_before_oneflow_is_asked(
    command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "_names", lambda: pytest.fail("asked"))
    assert command("--check", "absent.py")[0] == 2


def test_asking_is_said_and_kept(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command
) -> None:
    monkeypatch.undo()
    asked = []
    made_from = MadeFrom(Path(sys.executable), "0.9.0")
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("SD_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(name_list_query, "find_oneflow", lambda: made_from)
    monkeypatch.setattr(name_list_query, "ask", lambda python: asked.append(python) or SMALL)
    project.write("script.py", "import torch\ntorch.nn.gone")
    code, out, err = command("--check", "script.py")
    assert code == 1 and "script.py:2: torch.nn.gone" in out
    assert err.startswith("sdbackends: asking OneFlow which names it has")
    assert command("--check", "script.py") == (code, out, "")
    assert asked == [made_from.python]


def test_the_shell_text_pays_nothing_for_it() -> None:
    code = (
        "import sys; sys.argv = ['sd-mock', 'jax', '--shell', 'bash']\n"
        "from sdbackends.cli import sd_mock\n"
        "try: sd_mock()\n"
        "except SystemExit: pass\n"
        "heavy = {'sdbackends.oneflow_host.check', 'sdbackends.catalog.environments'}\n"
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"
