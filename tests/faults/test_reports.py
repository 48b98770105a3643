"""Results that somebody else wrote: the report shows what they say, and they do nothing in it."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from PIL import Image

from sdbackends.errors import ResultsError
from sdbackends.matrix import report, store
from sdbackends.matrix.results import Agreement, PictureDifference
from tests.matrix import made_up

Change = Callable[[dict[str, Any]], None]
SCRIPT = "<script>alert(1)</script>"


def results(folder: Path, change: Change | None = None, **cell: object) -> Path:
    """A file of results with one cell; `change` edits it as JSON."""
    close = Agreement(
        parts={"unet": PictureDifference(max_relative=1e-6, relative_l2=1e-7)}, image_max=1
    )
    result = made_up.result(agreement=close, **cell)
    path = folder / "machine" / "monday.json"
    store.write(made_up.run(result), path)
    if change is not None:
        data = json.loads(path.read_text("utf-8"))
        change(data)
        path.write_text(json.dumps(data), "utf-8")
    return path


def written(path: Path) -> report.Written:
    return report.write([store.read(path)], path.parent.parent / "report", [path])


def in_cell(**fields: object) -> Change:
    return lambda data: data["cells"][0].update(fields)


def in_timings(**fields: object) -> Change:
    return lambda data: data["cells"][0]["timings"].update(fields)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A picture that is nobody's business, outside the results' folder."""
    path = tmp_path / "secret.png"
    Image.new("RGB", (8, 8), "red").save(path)
    return path


@pytest.mark.parametrize(
    "name", ["/etc/secret.png", "../secret.png", "x/../../secret.png", "C:\\x.png", "..\\x.png"]
)
def test_a_picture_of_another_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ResultsError, match="monday") as refused:
        store.read(results(tmp_path, in_cell(picture=name)))
    assert "cells.0.picture" in refused.value.why


def test_a_link_that_leads_out_shows_no_picture(tmp_path: Path, secret: Path) -> None:
    path = results(tmp_path, in_cell(picture="inside/picture.png"))
    (path.parent / "inside").symlink_to(secret.parent)
    (tmp_path / "picture.png").symlink_to(secret)
    text = written(path).html.read_text("utf-8")
    assert "data:image" not in text and "is not beside the results file" in text


def test_a_link_within_the_folder_shows_its_picture(tmp_path: Path, secret: Path) -> None:
    path = results(tmp_path, in_cell(picture="picture.png"))
    secret.rename(path.parent / "kept.png")
    (path.parent / "picture.png").symlink_to("kept.png")
    assert "data:image" in written(path).html.read_text("utf-8")


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "garbage"])
def test_what_is_no_picture_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = results(tmp_path, in_cell(picture="picture.png"))
    picture = path.parent / "picture.png"
    if kind == "pipe":
        os.mkfifo(picture)
    elif kind == "device":
        picture.symlink_to("/dev/zero")
    elif kind == "folder":
        picture.mkdir()
    else:
        picture.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    assert "is not beside the results file" in written(path).html.read_text("utf-8")


def test_a_pipe_among_the_results_is_passed_over(tmp_path: Path) -> None:
    path = results(tmp_path)
    os.mkfifo(path.with_name("pipe.json"))
    command = [sys.executable, "-m", "sdbackends", "report", tmp_path, "-o", tmp_path / "report"]
    assert subprocess.run(command, timeout=60, stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (in_cell(picture="a\0.png"), "cells.0.picture"),
        (lambda data: data["machine"].update(name="zen\n```"), "machine.name"),
        (lambda data: data["cells"][0]["cell"].update(model="a\0"), "cells.0.cell.model"),
        (lambda data: data["cells"][0]["cell"].update(batch=0), "cells.0.cell.batch"),
        (in_timings(images=[1.0, 0.0]), "cells.0.timings.images.1"),
        (in_timings(images=[5e-324]), "cells.0.timings.images.0"),
        (in_timings(images=[float("nan")]), "cells.0.timings.images.0"),
        (in_timings(parts={"step": [float("inf")]}), "cells.0.timings.parts.step.0"),
        (in_timings(first_image=-1), "cells.0.timings.first_image"),
        (in_cell(interleaved=[0.0]), "cells.0.interleaved.0"),
        (in_cell(agreement={"psnr": float("nan")}), "cells.0.agreement.psnr"),
        (in_cell(memory={"peak_rss": 10**400}), "cells.0.memory.peak_rss"),
        (in_cell(load=[float("nan"), 1.0]), "cells.0.load.0"),
    ],
)
def test_what_is_no_figure_and_no_name_is_refused_by_its_field(
    tmp_path: Path, change: Change, field: str
) -> None:
    path = results(tmp_path, change)
    with pytest.raises(ResultsError) as refused:
        store.read(path)
    assert refused.value.where == str(path)
    assert refused.value.why.startswith(f"{field}: ") and "\n" not in refused.value.why


@pytest.mark.parametrize("text", ["[" * 100_000, '{"schema": ' + "9" * 5000 + "}"])
def test_json_that_python_gives_up_on_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "deep.json"
    path.write_text(text, "utf-8")
    with pytest.raises(ResultsError, match="deep"):
        store.read(path)


def test_a_tolerance_of_nothing_has_a_place_in_the_chart(tmp_path: Path) -> None:
    def strict(data: dict[str, Any]) -> None:
        data["tolerances"]["fp32"]["part_max_relative"] = 0

    assert "<svg" in written(results(tmp_path, strict)).html.read_text("utf-8")


def hostile(data: dict[str, Any]) -> None:
    """The script in each text that a report shows, with what could let it out of its place."""
    loose = f"x](javascript:alert) **|{SCRIPT}"
    for key in ("started", "commit", "reference"):
        data[key] = loose
    for key in ("name", "system", "python", "cpu", "driver", "gpu"):
        data["machine"][key] = loose
    cell = data["cells"][0]
    for key in ("pipeline", "backend", "scheduler", "device", "model"):
        cell["cell"][key] = loose
    cell.update(reason=f"\n\n{loose}\n", versions={loose: loose}, picture=f"{SCRIPT}.png")
    # A line of a shell's block that would end it.
    cell.update(command="```", script=f"{SCRIPT} `````")
    data["tolerances"]["fp32"]["reason"] = loose
    wrong = json.loads(json.dumps(cell))
    wrong["outcome"] = "wrong"
    wrong["cell"]["backend"] = "other"
    data["cells"].append(wrong)


class Tags(HTMLParser):
    """The scripts and the addresses of links in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts = 0
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.addresses += [value or "" for name, value in attributes if name in ("href", "src")]


def test_no_text_of_the_results_becomes_markup(tmp_path: Path) -> None:
    path = results(tmp_path, hostile)
    readme = tmp_path / "README.md"
    readme.write_text("<!-- matrix -->\n<!-- /matrix -->\n")
    done = report.write([store.read(path)], tmp_path / "report", [path], [readme])
    page = Tags(done.html.read_text("utf-8"))
    assert page.scripts == 1  # the page's own
    assert not [it for it in page.addresses if it.startswith("javascript")]
    forge = MarkdownIt("commonmark").enable("table")
    for document in (done.markdown, readme):
        text = document.read_text("utf-8")
        assert "alert(1)" in text
        shown = Tags(forge.render(text))
        assert shown.scripts == 0
        assert not [it for it in shown.addresses if it.startswith("javascript")]


def test_a_reason_keeps_its_words_and_loses_what_no_document_can_hold(tmp_path: Path) -> None:
    path = results(tmp_path, outcome="crashed", reason="signal 6:\0\x1b[31m bad\ud800")
    assert store.read(path).cells[0].reason == "signal 6:��[31m bad?"


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"])
def test_a_spreadsheet_sees_no_formula(tmp_path: Path, sign: str) -> None:
    text = f"{sign}cmd|' /C calc'!A0"
    path = results(tmp_path, in_cell(outcome="wrong", reason=text))
    with written(path).csv.open(encoding="utf-8", newline="") as file:
        (line,) = csv.DictReader(file)
    assert line["reason"] == "'" + text.replace("\r", "\n")
    assert float(line["p50_s"]) > 0
