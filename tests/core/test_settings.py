"""`SD_*` in, one typed object out; a wrong word is named with what is accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdbackends.errors import UsageError
from sdbackends.settings import BackendChoice, Settings


def test_nothing_set_is_plain_torch() -> None:
    settings = Settings.from_environment({})
    assert settings.backend == BackendChoice()
    assert settings.backend.names == ()
    assert settings.backend.of("unet") is None
    assert (settings.fallback, settings.rng, settings.log) == ("warn", "cpu", "info")


@pytest.mark.parametrize(
    ("text", "unet", "vae", "names"),
    [
        ("jax", "jax", "jax", ("jax",)),
        (" jax ", "jax", "jax", ("jax",)),
        ("unet=jax", "jax", None, ("jax",)),
        ("unet=jax,vae=torch", "jax", "torch", ("jax", "torch")),
        ("compile, vae = torch", "compile", "torch", ("compile", "torch")),
        ("jax,unet=jax", "jax", "jax", ("jax",)),
    ],
)
def test_backends_for_all_or_for_parts(text: str, unet: str, vae: str, names: object) -> None:
    choice = BackendChoice.parse(text)
    assert (choice.of("unet"), choice.of("vae"), choice.names) == (unet, vae, names)


@pytest.mark.parametrize(
    "text", ["unet=", "=jax", "jax,torch", "nose=jax", "unet=jax,unet=torch", ","]
)
def test_a_choice_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UsageError, match="fix: accepted"):
        BackendChoice.parse(text)


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("SD_PRECISION", "fp64", "fp32, bf16, fp16, int8"),
        ("SD_FALLBACK", "maybe", "warn, error"),
        ("SD_RNG", "gpu", "cpu, cuda"),
        ("SD_LOG", "loud", "quiet, info, debug"),
        ("SD_VERIFY", "2", "1, true"),
    ],
)
def test_a_wrong_value_names_what_is_accepted(name: str, value: str, accepted: str) -> None:
    with pytest.raises(UsageError) as caught:
        Settings.from_environment({name: value})
    assert name in str(caught.value) and value in str(caught.value)
    assert accepted in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("value", ["1", "TRUE", "yes", "on"])
def test_flags(value: str) -> None:
    assert Settings.from_environment({"SD_VERIFY": value}).verify
    assert not Settings.from_environment({"SD_VERIFY": "0"}).verify


def test_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.from_environment({"SD_CACHE_DIR": str(tmp_path)}).cache_folder == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path))
    home = Settings.from_environment({"SD_CACHE_DIR": "~/here"}).cache_folder
    assert home == tmp_path / "here"
    assert Settings().cache_folder.name == "sdbackends"


def test_the_folder_of_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.from_environment({"SD_ENV_DIR": str(tmp_path)}).environments_folder == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path))
    home = Settings.from_environment({"SD_ENV_DIR": "~/here"}).environments_folder
    assert home == tmp_path / "here"
    assert Settings().environments_folder.parts[-2:] == ("sdbackends", "environments")
