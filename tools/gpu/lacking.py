"""What a Python lacks of what the matrix needs: so that the list of wheels is read, not guessed.

    python tools/gpu/lacking.py          on the GPU machine: what is missing there, one a line
    python tools/gpu/lacking.py --have   what this Python has, in the form of machine.txt

The needs are in wheels/carried.json, which collect.py writes. Standard library only, but for
`packaging`, which pip carries where it is not installed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

try:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name
except ModuleNotFoundError:
    from pip._vendor.packaging.requirements import Requirement
    from pip._vendor.packaging.utils import canonicalize_name

HERE = Path(__file__).resolve().parent
CARRIED = HERE / "wheels" / "carried.json"


def installed(path: Iterable[str] | None = None) -> dict[str, str]:
    """Canonical name -> version of what is on `path` (None: on this Python's); first one wins."""
    every = metadata.distributions() if path is None else metadata.distributions(path=list(path))
    have: dict[str, str] = {}
    for one in every:
        # An installation that broke off leaves a folder without a name in it.
        if one.metadata is not None and one.metadata["Name"]:
            have.setdefault(canonicalize_name(one.metadata["Name"]), one.version)
    return have


def missing(needs: Iterable[str], have: Mapping[str, str]) -> list[str]:
    """The needs that nothing meets, by name."""
    return [line for line in needs if canonicalize_name(Requirement(line).name) not in have]


def unfit(needs: Iterable[str], have: Mapping[str, str]) -> list[str]:
    """The needs that are met by a version outside of what they ask for, with that version."""
    found = []
    for line in needs:
        need = Requirement(line)
        version = have.get(canonicalize_name(need.name))
        if version and not need.specifier.contains(version, prereleases=True):
            found.append(f"{line} (here: {version})")
    return found


def main() -> int:
    have = installed()
    if "--have" in sys.argv[1:]:
        print("\n".join(f"{name}=={have[name]}" for name in sorted(have)))
        return 0
    if not CARRIED.is_file():
        sys.exit(f"error: there is no {CARRIED.name}\nfix: run tools/gpu/collect.py first")
    needs = json.loads(CARRIED.read_text("utf-8"))["needs"]
    lacks = missing(needs, have)
    print("\n".join([*lacks, *unfit(needs, have)]) or "nothing is missing")
    return int(bool(lacks))


if __name__ == "__main__":
    sys.exit(main())
