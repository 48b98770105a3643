"""One slice of the GPU run, as one command on a machine without a network.

    python3 tools/gpu/run.py                  all cells, as many as fit into 8 minutes
    python3 tools/gpu/run.py --slice 2        those of the second slice (--list shows them)
    python3 tools/gpu/run.py --resume gpu.zip goes on with what an earlier slice has packed

It installs the carried wheels into a temporary folder, says what is still missing, and gives this
checkout and that folder to the Python that it was started with; `measure.py` does the rest. The
results land in --output (default: the folder that $OUT names). The card's settings are left alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import lacking

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WHEELS = HERE / "wheels"
SO_FAR = HERE / "so-far" / "gpu.zip"


def environment(site: Path, given: Mapping[str, str]) -> dict[str, str]:
    """That of a slice: the wheels and this checkout, no hub, no person's SD_* choices."""
    own = {name: value for name, value in given.items() if not name.startswith("SD_")}
    inherited = [own["PYTHONPATH"]] if own.get("PYTHONPATH") else []
    return {
        **own,
        "PYTHONPATH": os.pathsep.join([str(site), str(ROOT), *inherited]),
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def install(wheels: Path, site: Path) -> None:
    """All wheels of a folder into `site`, without a network and without their dependencies."""
    found = sorted(map(str, wheels.glob("*.whl")))
    if not found:
        sys.exit(
            "error: there are no wheels in tools/gpu/wheels\n"
            "fix: run tools/gpu/collect.py where there is a network, and carry that folder along"
        )
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    command += ["--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--upgrade"]
    done = subprocess.run([*command, f"--target={site}", *found], check=False)
    if done.returncode != 0:
        sys.exit(
            f"error: the wheels do not fit Python {'.'.join(map(str, sys.version_info[:2]))} here\n"
            "fix: collect them again with its version: tools/gpu/collect.py --python 3.N"
        )


def check(carried: Path, site: Path) -> None:
    """Ends where a package is missing; one of an unfit version is said, and tried."""
    needs = json.loads(carried.read_text("utf-8"))["needs"]
    have = lacking.installed([str(site), *sys.path])
    for line in lacking.unfit(needs, have):
        print(f"warning: {line}", file=sys.stderr)
    if lacks := lacking.missing(needs, have):
        sys.exit(
            f"error: this Python lacks {', '.join(lacks)}\n"
            "fix: python tools/gpu/lacking.py --have > there.txt here, then "
            "tools/gpu/collect.py --have there.txt where there is a network"
        )


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = made.add_argument
    add("--slice", metavar="N", help="only the cells of this slice: its number or name")
    add("--minutes", type=float, default=8.0, help="the whole command ends within (default: 8)")
    add(
        "--resume",
        type=Path,
        metavar="ZIP",
        help="default: tools/gpu/so-far/gpu.zip if it is there",
    )
    add("--output", type=Path, metavar="FOLDER", help="default: $OUT, or out/gpu-kit")
    add("--device", choices=("cuda", "cpu"), help="of the rehearsal (default: the best)")
    add("--rehearse", action="store_true", help="the small cells, to try the kit itself")
    add("--list", action="store_true", help="show the slices and what is left; measure nothing")
    return made


def main() -> None:
    began = time.time()
    asked = parser().parse_args()
    if asked.device == "cpu" and not asked.rehearse:
        sys.exit("error: the cells at full size are for a GPU\nfix: --rehearse --device cpu")
    output = asked.output or Path(os.environ.get("OUT") or ROOT / "out" / "gpu-kit")
    resume = asked.resume or (SO_FAR if SO_FAR.is_file() else None)
    if resume is not None and not resume.is_file():
        sys.exit(f"error: there is no file {resume}\nfix: name the gpu.zip of an earlier slice")
    with tempfile.TemporaryDirectory(prefix="sdbackends-gpu-") as folder:
        site = Path(folder, "site")
        install(WHEELS, site)
        check(WHEELS / "carried.json", site)
        words = [f"--until={began + asked.minutes * 60}", f"--output={output.absolute()}"]
        words += [f"--work={Path(folder, 'work')}"]
        words += [f"--resume={resume.absolute()}"] if resume else []
        words += [f"--slice={asked.slice}"] if asked.slice else []
        words += [f"--device={asked.device}"] if asked.device else []
        words += ["--rehearse"] if asked.rehearse else []
        words += ["--list"] if asked.list else []
        command = [sys.executable, str(HERE / "measure.py"), *words]
        done = subprocess.run(command, env=environment(site, os.environ), check=False)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
