"""Of which commit a tree is, also of one that was copied without its history."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CARRIED = HERE / "wheels" / "carried.json"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def commit() -> str:
    """What git says, else the commit that the wheels were collected at; "unknown"."""
    head = _git("rev-parse", "--show-toplevel", "HEAD").splitlines()
    if len(head) == 2 and Path(head[0]).resolve() == ROOT:
        changes = _git("status", "--porcelain", "--untracked-files=no")
        return f"{head[1]}+changes" if changes else head[1]
    return collected(CARRIED) if CARRIED.is_file() else "unknown"


def collected(carried: Path) -> str:
    """The commit that the tree was collected at, with "+changes" if it is not that any more."""
    told = json.loads(carried.read_text("utf-8"))
    same = all(
        (ROOT / name).is_file() and before == digest(ROOT / name)
        for name, before in told["sources"].items()
    )
    plain = str(told["commit"]).removesuffix("+changes")
    return plain if same and plain == told["commit"] else f"{plain}+changes"


def _git(*words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
