"""The folder that a suite runs in, and the environment of its processes.

The tests are copied away from their checkout: there they would import the checkout's own package
instead of the installed one, and read its pytest settings (or ours, inside this repository).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sdbackends.errors import UsageError
from sdbackends.launch import start
from tests.conformance.suites import hub
from tests.conformance.suites.catalog import Suite

#: How files and lines call torch without sdbackends, which is no backend.
PLAIN = "plain-torch"
_PLUGIN = Path(__file__).parent / "plugin"
_SETTINGS = "[pytest]\n"
_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "peft", "numpy", "pytest")
#: What stands beside the tests and is imported by them.
_BESIDE = ("conftest.py", "utils")


@dataclass(frozen=True)
class Bench:
    """One suite's folder of work: `tests/` copied, caches, and the journals of its runs."""

    suite: Suite
    folder: Path
    device: str

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def journal(self, backend: str | None) -> Path:
        return self.folder / f"{backend or PLAIN}.jsonl"

    def logs(self, backend: str | None) -> Path:
        return self.folder / "logs" / (backend or PLAIN)

    def cache(self, backend: str) -> Path:
        """Where the backend keeps what it captured and compiled, for the time of a run."""
        return self.folder / f"cache-{backend}"

    def facts(self) -> dict[str, str]:
        """What the outcome of a test depends on, besides the tests."""
        facts = {package: _version(package) for package in _PACKAGES}
        python = f"{platform.python_version()} on {platform.machine()}"
        return {"python": python, "device": self.device, **facts}

    def apply(self, source: Path) -> None:
        """Copy the tests here, with what they load; nothing where they lie here already.

        Other tests, or other packages: nothing that was recorded says anything about these.

        Raises:
            UsageError: the folder holds something else.
        """
        stamp, fingerprint = self.folder / "made-from.txt", self._fingerprint(source)
        if stamp.exists() and stamp.read_text(encoding="utf-8") == fingerprint:
            return
        if not stamp.exists() and self.folder.exists() and any(self.folder.iterdir()):
            raise UsageError(
                f"{self.folder} is in use for something else",
                where="--output",
                fix="name another folder, or remove that one",
            )
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        stamp.touch()  # ours, from here on
        shutil.copytree(source / "tests", self.work / "tests")
        for name in _BESIDE:
            if (source / name).is_dir():
                shutil.copytree(source / name, self.work / name)
            elif (source / name).is_file():
                shutil.copy(source / name, self.work / name)
        # Some tests read the package's own files where a checkout has them: the installed ones.
        (self.work / "src").mkdir()
        package = importlib.util.find_spec(self.suite.name)
        assert package is not None and package.origin is not None  # its version was read before
        (self.work / "src" / self.suite.name).symlink_to(Path(package.origin).parent)
        (self.work / "pytest.ini").write_text(_SETTINGS, encoding="utf-8")
        hub.fill(self._hub)
        stamp.write_text(fingerprint, encoding="utf-8")

    def environment(self, backend: str | None, env: Mapping[str, str]) -> dict[str, str]:
        """Of a process that runs tests on `backend`; None is torch without sdbackends."""
        clean = {
            name: value
            for name, value in env.items()
            if not name.startswith("SD_") or name == "SD_ENV_DIR"
        }
        path = start.without_shim(clean.get("PYTHONPATH"))
        clean["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_PLUGIN), path]))
        clean |= {
            self.suite.device_variable: self.device,
            "SD_SUITE_LEFT_OUT": ",".join(self.suite.left_out),
            "HF_HOME": str(self._hub),
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "TOKENIZERS_PARALLELISM": "false",
            # Of a thread pool in each of several processes, on models so small, all would lose.
            "OMP_NUM_THREADS": clean.get("OMP_NUM_THREADS", "1"),
        }
        if backend is None:
            return clean
        clean |= {"SD_CACHE_DIR": str(self.cache(backend)), "SD_LOG": "quiet"}
        return start.environment(start.Choices(backend=backend), clean)

    @property
    def _hub(self) -> Path:
        return self.folder / "hub"

    def _fingerprint(self, source: Path) -> str:
        digest = hashlib.sha256(repr((self.facts(), self.suite.left_out)).encode())
        for path in sorted((source / "tests").rglob("*.py")):
            digest.update(path.relative_to(source).as_posix().encode() + path.read_bytes())
        digest.update(Path(hub.__file__).read_bytes())
        return digest.hexdigest()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
