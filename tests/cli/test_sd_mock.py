"""`sd-mock` in real shells: paths with spaces and quotes survive, nothing of the user's is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from sdbackends.errors import SdError
from sdbackends.launch import shells
from sdbackends.launch.start import with_shim, without_shim

REPOSITORY = Path(__file__).parents[2]
AWKWARD = """it's a "folder" with $HOME `id` \\ and 空格"""
ON = {"bash": 'eval "$(sd-mock {})"', "zsh": 'eval "$(sd-mock {})"', "fish": "sd-mock {} | source"}
QUIET = {"bash": "--norc", "zsh": "-f", "fish": "--no-config"}

Told = tuple[str | None, str | None]


@dataclass(frozen=True)
class RealShell:
    """A shell in which `sd-mock` is the one of `root`, and `tell` says the two variables."""

    name: str
    root: Path
    bin: Path

    @property
    def shim(self) -> str:
        return str(self.root / "shim")

    def on(self, words: str = "") -> str:
        return ON[self.name].format(words)

    def run(self, *lines: str, **env: str) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SD_BACKEND")}
        return subprocess.run(
            [self.name, QUIET[self.name], "-c", "\n".join(lines)],
            env={**kept, "PATH": f"{self.bin}{os.pathsep}{kept['PATH']}", **env},
            capture_output=True,
            encoding="utf-8",
        )

    def tell(self, *lines: str, **env: str) -> list[Told]:
        """(PYTHONPATH, SD_BACKEND) as a child of the shell sees them, for each `tell`."""
        done = self.run(*lines, **env)
        assert done.returncode == 0, done.stderr
        return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.fixture(params=list(ON))
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> RealShell:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not on this machine")
    root, programs = tmp_path / AWKWARD, tmp_path / "bin"
    root.mkdir()
    programs.mkdir()
    no_caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "sdbackends", root / "sdbackends", ignore=no_caches)
    for name in ("shim", "backends"):
        (root / name).symlink_to(REPOSITORY / name)
    # -Es: nothing from PYTHONPATH, which these tests set to awkward things.
    _program(
        programs / "sd-mock",
        f"import sys; sys.path.insert(0, {str(root)!r})\n"
        "from sdbackends.cli import sd_mock; sd_mock()",
    )
    _program(
        programs / "tell",
        "import json, os\n"
        "print(json.dumps([os.environ.get(n) for n in ('PYTHONPATH', 'SD_BACKEND')]))",
    )
    return RealShell(request.param, root, programs)


def _program(path: Path, text: str) -> None:
    path.write_text(f"#!{sys.executable} -Es\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.mark.parametrize("before", [None, "", "/a", """/a b:/it's:/"q" """, ":/empty/around:"])
def test_on_puts_the_shim_in_front_and_off_restores(shell: RealShell, before: str | None) -> None:
    env = {} if before is None else {"PYTHONPATH": before}
    on, off = shell.tell(shell.on("jax"), "tell", shell.on("--off"), "tell", **env)
    assert on == (shell.shim if not before else f"{shell.shim}:{before}", "jax")
    assert off == (before or None, None)


def test_twice_is_as_once_and_the_last_name_holds(shell: RealShell) -> None:
    lines = [shell.on("jax"), shell.on("unet=jax,vae=torch"), "tell", shell.on(), "tell"]
    expected = (f"{shell.shim}:/mine", "unet=jax,vae=torch")
    assert shell.tell(*lines, PYTHONPATH="/mine") == [expected, expected]


def test_without_a_name_the_choice_stays_as_it_was(shell: RealShell) -> None:
    assert shell.tell(shell.on(), "tell") == [(shell.shim, None)]
    assert shell.tell(shell.on(), "tell", SD_BACKEND="compile") == [(shell.shim, "compile")]


def test_off_without_on_changes_nothing_of_the_users(shell: RealShell) -> None:
    assert shell.tell(shell.on("--off"), "tell", PYTHONPATH="/mine") == [("/mine", None)]


@pytest.mark.parametrize("words", ["jaxx", "jax --of", "jax --off", "unet="])
def test_a_wrong_word_changes_nothing_and_fails(shell: RealShell, words: str) -> None:
    done = shell.run(shell.on(words), "tell", PYTHONPATH="/mine")
    assert json.loads(done.stdout) == ["/mine", None]
    assert "sd-mock" in done.stderr
    assert "fix:" in done.stderr or "Possible options: " in done.stderr
    alone = shell.run(f"sd-mock {words}")
    assert (alone.returncode, alone.stdout) == (2, "false;\n")
    if shell.name != "fish":
        stopped = shell.run("set -e", shell.on(words), "tell")
        assert stopped.returncode != 0 and stopped.stdout == ""


def test_nothing_is_there_to_evaluate_after_a_question(shell: RealShell) -> None:
    assert shell.run("sd-mock --check no_such_file.py").stdout == ""
    assert "false" not in shell.run("sd-mock --status").stdout


def test_old_fish_joins_the_lines_of_eval() -> None:
    text = shells.enter("fish", "jax", {"PYTHONPATH": "/a:/b'c"})
    assert text.count("\n") == text.count(";\n") == 2
    assert "'/a' '/b\\'c'" in text


@pytest.mark.parametrize(("login", "guess"), [("/bin/fish", "fish"), ("/bin/tcsh", "bash")])
def test_with_no_shell_above_the_login_shell_is_taken(
    monkeypatch: pytest.MonkeyPatch, login: str, guess: str
) -> None:
    monkeypatch.setattr(shells, "_process", lambda process: ("init", 1))
    assert shells.detect({"SHELL": login}) == guess


def test_a_shell_is_found_behind_other_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = iter([("uv", 3), ("zsh", 2), ("bash", 1)])
    monkeypatch.setattr(shells, "_process", lambda process: next(chain))
    assert shells.detect({}) == "zsh"


def test_a_shim_that_stands_elsewhere_on_the_path_moves_to_the_front() -> None:
    shim = with_shim(None)
    assert with_shim(f"/a:{shim}:/b:{shim}") == f"{shim}:/a:/b"
    assert without_shim(shim) is None


def test_a_folder_that_pythonpath_cannot_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdbackends.launch.start.shim_dir", lambda: Path("/a:b/shim"))
    with pytest.raises(SdError, match="cannot be named in PYTHONPATH"):
        with_shim(None)


def test_a_terminal_is_taught_the_eval(monkeypatch: pytest.MonkeyPatch) -> None:
    pty = pytest.importorskip("pty")
    leader, follower = pty.openpty()
    command = [sys.executable, "-c", "from sdbackends.cli import sd_mock; sd_mock()"]
    subprocess.run([*command, "jax", "--shell", "zsh"], stdout=follower, cwd=REPOSITORY, check=True)
    os.close(follower)
    assert '''eval "$(sd-mock jax)"''' in os.read(leader, 4000).decode()
    os.close(leader)


def test_it_imports_nothing_slow() -> None:
    code = (
        "import sys; sys.argv = ['sd-mock', 'jax', '--shell', 'bash']\n"
        "from sdbackends.cli import sd_mock\n"
        "try: sd_mock()\n"
        "except SystemExit: pass\n"
        "print({'torch', 'jax', 'diffusers', 'numpy', 'yaml'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"
