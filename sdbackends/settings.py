"""`SD_*` environment variables in, one typed `Settings` out; the only reader of the environment.

Plain dataclasses on purpose: this module is imported before every script that uses the shim, and
must cost no more than a millisecond.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast, get_args

from sdbackends.errors import NoHomeError, UsageError

Precision = Literal["fp32", "bf16", "fp16", "int8"]
Fallback = Literal["warn", "error"]
Rng = Literal["cpu", "cuda"]
LogLevel = Literal["quiet", "info", "debug"]

#: Parts of a pipeline that `SD_BACKEND=unet=jax,vae=torch` can name.
PARTS = ("text_encoder", "image_encoder", "unet", "transformer", "controlnet", "vae")
#: Of a value that is not accepted, so many characters are shown.
_SHOWN = 80


@dataclass(frozen=True)
class BackendChoice:
    """Which backend runs which part.

    `default` runs every part that `parts` does not name; None means plain torch, because the
    user chose nothing.
    """

    default: str | None = None
    parts: Mapping[str, str] = field(default_factory=dict)

    def of(self, part: str) -> str | None:
        return self.parts.get(part, self.default)

    @property
    def names(self) -> tuple[str, ...]:
        """Every backend named, each once, in order."""
        named = ([self.default] if self.default else []) + list(self.parts.values())
        return tuple(dict.fromkeys(named))

    @classmethod
    def parse(cls, text: str | None, *, where: str = "SD_BACKEND") -> BackendChoice:
        """`jax`, `auto`, or `unet=jax,vae=torch`; empty or None: nothing chosen.

        Raises:
            UsageError: a part is unknown, or named twice, or an item is empty.
        """
        if text is None or not text.strip():
            return cls()
        default: str | None = None
        parts: dict[str, str] = {}
        for item in (piece.strip() for piece in text.split(",")):
            part, equals, name = (word.strip() for word in item.partition("="))
            if not equals and item and default is None:
                default = item
            elif equals and name and part in PARTS and part not in parts:
                parts[part] = name
            else:
                raise UsageError(
                    f"{where}={text!r} cannot be read",
                    where=where,
                    why=f"{item!r} is not BACKEND or PART=BACKEND, or comes twice",
                    fix=f"accepted: one name, or PART=NAME,… with PART of {', '.join(PARTS)}",
                )
        return cls(default, parts)


@dataclass(frozen=True)
class Settings:
    """Everything that a person can choose from outside the script."""

    backend: BackendChoice = field(default_factory=BackendChoice)
    precision: Precision | None = None
    device: str | None = None
    verify: bool = False
    fallback: Fallback = "warn"
    rng: Rng = "cpu"
    #: `torch.cuda.is_available()` says True on a machine without CUDA too.
    cuda: bool = False
    cache_dir: Path | None = None
    env_dir: Path | None = None
    #: Where an observer writes how long everything took (`sdbackends.matrix.measure`).
    measure: Path | None = None
    #: The file where a survey writes which ops the models need and the engine lacks.
    survey: Path | None = None
    log: LogLevel = "info"

    @property
    def cache_folder(self) -> Path:
        """`SD_CACHE_DIR`, or `sdbackends` in the user's cache directory.

        Raises:
            NoHomeError: neither is known.
        """
        if self.cache_dir is not None:
            return self.cache_dir
        # Imported late: a script that routes no model has no use for it, and it takes 9 ms.
        from platformdirs import user_cache_path

        return _of_the_user(user_cache_path, "SD_CACHE_DIR")

    @property
    def environments_folder(self) -> Path:
        """`SD_ENV_DIR`, or `sdbackends/environments` where the user's data are kept.

        Raises:
            NoHomeError: neither is known.
        """
        if self.env_dir is not None:
            return self.env_dir
        from platformdirs import user_data_path

        return _of_the_user(user_data_path, "SD_ENV_DIR") / "environments"

    @classmethod
    def from_environment(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read `SD_*` from `env` (default: the process's own environment).

        Raises:
            UsageError: a variable has a value that is not accepted; the message lists those.
        """
        env = os.environ if env is None else env
        return cls(
            backend=BackendChoice.parse(env.get("SD_BACKEND")),
            precision=cast("Precision | None", _one_of(env, "SD_PRECISION", get_args(Precision))),
            device=env.get("SD_DEVICE") or None,
            verify=_flag(env, "SD_VERIFY"),
            fallback=cast("Fallback", _one_of(env, "SD_FALLBACK", get_args(Fallback)) or "warn"),
            rng=cast("Rng", _one_of(env, "SD_RNG", get_args(Rng)) or "cpu"),
            cuda=_flag(env, "SD_CUDA"),
            cache_dir=_path(env, "SD_CACHE_DIR"),
            env_dir=_path(env, "SD_ENV_DIR"),
            measure=_path(env, "SD_MEASURE"),
            survey=_path(env, "SD_SURVEY"),
            log=cast("LogLevel", _one_of(env, "SD_LOG", get_args(LogLevel)) or "info"),
        )


def own_backends(env: Mapping[str, str] | None = None) -> Path | None:
    """`SD_BACKENDS_DIR` alone: which backends there are does not hang on the other variables.

    Raises:
        UsageError: it is no folder.
    """
    folder = _path(os.environ if env is None else env, "SD_BACKENDS_DIR")
    if folder is not None and not os.path.isdir(folder):  # False where it cannot be looked at
        raise UsageError(
            f"SD_BACKENDS_DIR={str(folder)!r} is no folder",
            where="SD_BACKENDS_DIR",
            fix="name the folder that your own NAME.yaml files stand in, or unset it",
        )
    return folder


def _one_of(env: Mapping[str, str], name: str, accepted: tuple[str, ...]) -> str | None:
    value = env.get(name, "").strip().lower()
    if not value:
        return None
    if value not in accepted:
        raise UsageError(
            f"{name}={env[name]!r} is not accepted",
            where=name,
            fix=f"accepted: {', '.join(accepted)}; unset it for the default",
        )
    return value


def _path(env: Mapping[str, str], name: str) -> Path | None:
    given = env.get(name)
    if not given:
        return None
    shown = given if len(given) <= _SHOWN else f"{given[:_SHOWN]}…"
    try:
        path = Path(given).expanduser()
        path.lstat()
    except RuntimeError:
        raise UsageError(
            f"{name}={shown!r} cannot be read",
            where=name,
            why=f"nobody knows the home that {given.partition('/')[0][:_SHOWN]!r} stands for",
            fix="write the path without '~'",
        ) from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UsageError(
                f"{name}={shown!r} is no path",
                where=name,
                why=f"it is too long for this system: {len(given)} characters",
                fix="name a shorter one, or unset it",
            ) from None
    return path


def _of_the_user(find: Callable[[str], Path], variable: str) -> Path:
    """A folder in the user's home, where it has one."""
    try:
        return find("sdbackends")
    except RuntimeError:
        raise NoHomeError(
            "this user has no home",
            why="HOME is not set, and the system's list of users does not name one",
            fix=f'export {variable}="$(mktemp -d)", or another folder of your own',
        ) from None


def _flag(env: Mapping[str, str], name: str) -> bool:
    on, off = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
    value = _one_of(env, name, on + off)
    return value in on
