"""`first.py`: the barrier, limits, logs, results and resuming; no item does its work here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("tomllib", reason="the kit is for Python 3.11 or newer")

import collect
from first_run import journal, packing, planted, process, runner
from first_run.items import ITEMS, Item
from first_run.journal import Journal
from first_run.logs import Logs
from first_run.process import Places, Running

FIRST = collect.HERE / "first.py"
#: Generous: a busy machine takes long to start so many processes.
PATIENCE = 240


def first(output: Path, *words: str, timeout: float = PATIENCE) -> subprocess.CompletedProcess:
    env = {name: value for name, value in os.environ.items() if name != "OUT"}
    command = [sys.executable, str(FIRST), "--rehearse", "--no-wheels", f"--output={output}"]
    return subprocess.run(
        [*command, *words], env=env, capture_output=True, text=True, timeout=timeout
    )


def log_of(output: Path, item: str) -> str:
    lines = (output / "logs-1.txt").read_text("utf-8").splitlines()
    return "\n".join(line for line in lines if line.startswith(f"{item}| "))


def errors(output: Path) -> dict[str, str]:
    lines = journal.read(output / "first.jsonl")
    return {line["item"]: line["error"] for line in lines if "error" in line}


def outcomes(output: Path) -> dict[str, str]:
    lines = journal.read(output / "first.jsonl")
    return {line["item"]: line["outcome"] for line in lines if "outcome" in line}


@pytest.mark.timeout(PATIENCE + 60)
def test_a_planted_failure_of_each_item_leaves_its_whole_log(tmp_path) -> None:
    done = first(tmp_path, f"--until={PATIENCE - 30}", "--plant=all=raise", "--builders=2")
    assert done.returncode == 1, done.stderr
    assert outcomes(tmp_path) == {item.name: "failed" for item in ITEMS}
    found = errors(tmp_path)
    for item in ITEMS:
        log = log_of(tmp_path, item.name)
        assert f"{item.name}| planted line {planted.LINES - 1}" in log
        assert log.count("planted line") >= planted.LINES and "its last word" in log
        assert found[item.name].count("a long text of a compiler") >= 400


@pytest.mark.parametrize(("kind", "where"), [("kill", "signal 9"), ("exit", "exit code 7")])
def test_an_item_that_dies_leaves_its_log(tmp_path, kind: str, where: str) -> None:
    done = first(tmp_path, "--item=facts", f"--plant=facts={kind}")
    assert done.returncode == 1
    assert log_of(tmp_path, "facts").count("planted line") == planted.LINES
    (line,) = [one for one in journal.read(tmp_path / "first.jsonl") if "outcome" in one]
    assert (line["outcome"], line["where"]) == ("failed", where)


def test_a_command_that_is_killed_leaves_a_file_that_can_be_read(tmp_path) -> None:
    command = [sys.executable, str(FIRST), "--rehearse", "--no-wheels", f"--output={tmp_path}"]
    process = subprocess.Popen([*command, "--plant=all=hang", "--item=facts", "--item=checks"])
    until = time.monotonic() + PATIENCE
    while not (tmp_path / "logs-1.txt").exists() and time.monotonic() < until:
        time.sleep(0.1)
    process.kill()
    process.wait()
    with (tmp_path / "first.jsonl").open("a") as file:
        file.write('{"item": "facts", "outco')  # as of a write that was cut off
    lines = journal.read(tmp_path / "first.jsonl")
    assert "run" in lines[0] and list(journal.table(lines))
    assert log_of(tmp_path, "facts")


def test_ctrl_c_and_sigterm_end_the_items_and_keep_what_is_done(tmp_path) -> None:
    command = [sys.executable, str(FIRST), "--rehearse", "--no-wheels", f"--output={tmp_path}"]
    process = subprocess.Popen([*command, "--plant=all=hang", "--item=facts"])
    until = time.monotonic() + PATIENCE
    while not (tmp_path / "logs-1.txt").exists() and time.monotonic() < until:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=PATIENCE) == 1
    assert outcomes(tmp_path) == {"facts": "cut-off"}
    assert (tmp_path / packing.NAME).is_file()


def test_words_that_mean_nothing_are_refused(tmp_path) -> None:
    assert "no item nothing" in first(tmp_path, "--item=nothing").stderr
    assert "ITEM=KIND" in first(tmp_path, "--plant=facts=explode").stderr


def test_only_runs_with_the_same_commit_driver_and_card_are_gone_on_with(tmp_path) -> None:
    now = {"commit": "a", "driver": "580.1", "gpu": "H200", "rehearsal": False, "at": "today"}
    lines = [
        {"run": {**now, "at": "before"}},
        {"item": "facts", "outcome": "ok"},
        {"item": "checks", "outcome": "failed"},
        {"run": {**now, "commit": "b"}},
        {"item": "checks", "outcome": "ok"},
    ]
    assert journal.done(lines, now) == {"facts"}
    assert journal.done(lines, {**now, "driver": "580.2"}) == set()
    earlier, written = tmp_path / "earlier.jsonl", Journal(tmp_path / "first.jsonl")
    earlier.write_text("\n".join(map(json.dumps, lines)) + '\n{"cut', "utf-8")
    written.go_on_with(earlier)
    assert journal.read(written.path) == lines


def test_logs_go_on_in_another_file_when_one_is_full(tmp_path) -> None:
    logs = Logs(tmp_path, full=1000)
    for number in range(100):
        logs.write("it", f"line {number}\n".encode())
    files = sorted(tmp_path.glob("logs-*.txt"), key=lambda path: int(path.stem.split("-")[1]))
    assert len(files) > 1 and all(path.stat().st_size <= 1000 for path in files)
    text = "".join(path.read_text() for path in files)
    assert text.splitlines() == [f"it| line {number}" for number in range(100)]


def test_the_largest_of_what_is_kept_stay_out_of_a_full_zip(tmp_path) -> None:
    kept = tmp_path / "kept" / "item"
    kept.mkdir(parents=True)
    for name, size in (("small", 10), ("large", 1000), ("medium", 100)):
        (kept / name).write_bytes(b"x" * size)
    packing.pack(kept.parent, tmp_path, most=200)
    with zipfile.ZipFile(tmp_path / packing.NAME) as archive:
        assert sorted(archive.namelist()) == ["item/medium", "item/small"]


SCRIPT = """
import pathlib, sys, time
name, barrier, log = sys.argv[1:]
log, barrier = pathlib.Path(log), pathlib.Path(barrier)
def note(what):
    with log.open("a") as file:
        file.write(f"{name} {what}\\n")
note("begins")
if name.startswith("build"):
    time.sleep(float(name.partition("-")[2] or 0))
    (barrier / f"{name}.ready").touch()
    while not (barrier / f"{name}.go").exists():
        time.sleep(0.02)
note("measures")
if name == "slow":
    time.sleep(600)
time.sleep(0.2)
note("ends")
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run these items, which are small scripts, and give the notes that they made."""
    notes = tmp_path / "notes"

    def start(item: Item, places: Places, env, logs: Logs, **_: object) -> Running:
        words = [item.name, str(places.barrier), str(notes)]
        command = [sys.executable, "-c", SCRIPT, *words]
        return Running(item.name, command, env, tmp_path, logs)

    monkeypatch.setattr(process, "start", start)

    def run(items: list[Item], seconds: float = PATIENCE, builders: int = 2) -> runner.Runner:
        places = Places(tmp_path / "first.jsonl", tmp_path / "barrier", tmp_path / "kept")
        places.barrier.mkdir()
        made = runner.Runner(
            items,
            places,
            Journal(places.journal),
            Logs(tmp_path),
            os.environ,
            until=time.monotonic() + seconds,
            builders=builders,
            alive=8,
            rehearsal=True,
        )
        made.run()
        return made

    run.notes = lambda: notes.read_text().splitlines()
    return run


def builds(name: str, seconds: float = PATIENCE) -> Item:
    return Item(name, "unet", PATIENCE, build_seconds=seconds)


def test_builds_are_beside_each_other_and_measuring_is_alone(run) -> None:
    made = run([Item("one", "facts", PATIENCE), builds("build-0.1"), builds("build-0.2")])
    assert set(made.outcomes.values()) == {"ok"} and len(made.outcomes) == 3
    # Between a "measures" and the "ends" of the same item no other one measures.
    measuring = [line for line in run.notes() if "begins" not in line]
    assert len(measuring) == 6
    for first, last in zip(measuring[::2], measuring[1::2], strict=True):
        assert first.split() == [last.split()[0], "measures"]


def test_an_item_over_its_limit_is_ended_and_the_others_go_on(run) -> None:
    items = [Item("slow", "facts", 3.0), builds("build-500", 3.0), Item("one", "facts", PATIENCE)]
    made = run(items)
    assert made.outcomes == {"slow": "slow", "build-500": "slow", "one": "ok"}
    told = {line["item"]: line.get("where", "") for line in journal.read(made.places.journal)}
    assert "limit of 3 s" in told["slow"] and "building" in told["build-500"]


def test_when_the_time_is_over_the_rest_is_left(run) -> None:
    made = run([Item("slow", "facts", 600), Item("one", "facts", 600)], seconds=8)
    assert made.outcomes == {"slow": "cut-off"}


def test_every_item_has_a_module_and_every_backend_is_there() -> None:
    from sdbackends.catalog import backend_files

    own = collect.HERE / "first_run"
    names = {path.stem for path in (own / "backends").glob("*.yaml")} | set(backend_files.names())
    assert len({item.name for item in ITEMS}) == len(ITEMS)
    for item in ITEMS:
        assert (own / "work" / f"{item.work}.py").is_file()
        assert item.options.get("backend", "torch") in names
