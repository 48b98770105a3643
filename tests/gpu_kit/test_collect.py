"""Which wheels travel: injected wheels, no network."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("tomllib", reason="wheels are collected with Python 3.11 or newer")

import collect
import lacking
import run

#: name -> what its metadata asks for.
REGISTRY = {
    "diffusers": ["numpy", "importlib_metadata", "requests; extra == 'more'"],
    "importlib-metadata": ["zipp>=3.20"],
    "zipp": [],
    "pydantic": ["pydantic-core==2.0", "typing-extensions>=4.16", "tomli; python_version<'3.11'"],
    "pydantic-core": ["typing-extensions>=4.14"],
    "typing-extensions": [],
    "big": [],
}
PINS = {**dict.fromkeys(REGISTRY, "2.0"), "typing-extensions": "4.16.0"}


@pytest.fixture
def fetch(tmp_path):
    fetched = []

    def fetch(requirement: str) -> Path:
        fetched.append(requirement)
        name, _, version = requirement.partition("==")
        lines = [f"Requires-Dist: {line}" for line in REGISTRY[name]]
        tags = "cp312-cp312-linux_x86_64" if name in ("pydantic-core", "big") else "py3-none-any"
        wheel = tmp_path / f"{name.replace('-', '_')}-{version}-{tags}.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            text = "\n".join(["Metadata-Version: 2.1", f"Name: {name}", *lines, "", ""])
            archive.writestr(f"{name}-{version}.dist-info/METADATA", text)
        return wheel

    fetch.fetched = fetched
    return fetch


def names(collected):
    return sorted(collected.wheels)


def test_what_is_missing_is_carried_with_what_it_needs(fetch):
    have = {"numpy": "2.5", "torch": "2.11.0"}
    collected = collect.collect(["torch>=2.11", "diffusers>=0.42"], have, PINS, "3.12", fetch)
    assert names(collected) == ["diffusers", "importlib-metadata", "zipp"]
    assert "torch>=2.11" in collected.needs and "zipp>=3.20" in collected.needs
    assert not any(line.startswith(("requests", "tomli")) for line in collected.needs)


def test_a_version_that_does_not_fit_is_carried_anew(fetch):
    collected = collect.collect(["zipp>=2"], {"zipp": "1.0"}, PINS, "3.12", fetch)
    assert names(collected) == ["zipp"]
    assert not collect.collect(["zipp>=2"], {"zipp": "2.1"}, PINS, "3.12", fetch).wheels


def test_an_unknown_version_is_doubted_only_where_a_wheel_of_today_asks(fetch):
    have = {"typing-extensions": "", "zipp": ""}
    collected = collect.collect(["zipp>=1", "pydantic>=2"], have, PINS, "3.12", fetch)
    assert names(collected) == ["pydantic", "pydantic-core", "typing-extensions"]


def test_a_doubted_package_that_is_no_small_pure_wheel_stays_behind(fetch, monkeypatch):
    monkeypatch.setitem(REGISTRY, "zipp", ["big>=1"])
    collected = collect.collect(["zipp"], {"big": ""}, PINS, "3.12", fetch)
    assert names(collected) == ["zipp"] and "big==2.0" in fetch.fetched
    assert not list(collected.wheels["zipp"].parent.glob("big*"))


def test_a_missing_package_without_a_tested_version_is_named(fetch):
    with pytest.raises(KeyError, match="unheard-of is missing there"):
        collect.collect(["unheard-of"], {}, PINS, "3.12", fetch)


def test_beyond_the_budget_is_refused_with_the_largest_wheels(tmp_path):
    wheels = [tmp_path / "large.whl", tmp_path / "small.whl"]
    for wheel, size in zip(wheels, (3_000_000, 10), strict=True):
        wheel.write_bytes(b"x" * size)
    assert collect.check_size(1_000_000, wheels, budget=5) == 4_000_010
    with pytest.raises(collect.TooLarge, match=r"4\.0 MB would travel.*large\.whl 3\.0 MB"):
        collect.check_size(1_000_000, wheels, budget=4)


def test_the_real_list_and_pins_name_what_the_gpu_machine_lacks():
    """pyproject.toml against machine.txt: each of these is pinned, so it can be fetched."""
    have = collect.read_list((collect.HERE / "machine.txt").read_text("utf-8"))
    pins = collect.read_pins(collect.PINS.read_text("utf-8"), "3.12")
    lacks = lacking.missing(collect.roots(), have)
    assert {line.partition("<")[0].partition(">")[0] for line in lacks} == {
        "diffusers",
        "platformdirs",
        "pydantic",
    }
    assert not lacking.unfit(collect.roots(), {name: v for name, v in have.items() if v})
    assert {"diffusers", "platformdirs", "pydantic", "pydantic-core"} <= set(pins)


def test_sources_are_those_that_run_there():
    found = collect.sources()
    assert "sdbackends/matrix/run.py" in found and "tools/gpu/measure.py" in found
    assert not any(name.startswith(("tests/", "docs/")) for name in found)


def test_lacking_tells_missing_and_unfit():
    needs = ["NumPy>=1.26", "pydantic-core==2.0", "zipp"]
    have = {"numpy": "1.20", "zipp": "3.0"}
    assert lacking.missing(needs, have) == ["pydantic-core==2.0"]
    assert lacking.unfit(needs, have) == ["NumPy>=1.26 (here: 1.20)"]
    assert lacking.installed()["pytest"] == pytest.__version__


def test_no_wheels_and_missing_packages_end_with_the_fix(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match=r"no wheels[^$]*collect\.py"):
        run.install(tmp_path, tmp_path / "site")
    carried = tmp_path / "carried.json"
    carried.write_text('{"needs": ["pytest>=1", "unheard-of>=1"]}', "utf-8")
    with pytest.raises(SystemExit, match=r"lacks unheard-of>=1[^$]*lacking\.py --have"):
        run.check(carried, tmp_path)


def test_a_slice_has_no_choices_of_its_caller_and_no_hub(tmp_path):
    given = {"SD_BACKEND": "jax", "PYTHONPATH": "mine", "PATH": "p"}
    found = run.environment(tmp_path, given)
    assert "SD_BACKEND" not in found and found["PATH"] == "p"
    assert found["PYTHONPATH"].split(":") == [str(tmp_path), str(run.ROOT), "mine"]
    assert found["HF_HUB_OFFLINE"] == "1"


def test_full_size_is_refused_on_a_cpu(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run.py", "--device", "cpu"])
    with pytest.raises(SystemExit, match="for a GPU"):
        run.main()
