"""Which engines there are, what options they have, and how one is made from its name in a yaml.

Engines are named as text, so that looking at these tables imports no framework. An engine that is
not in the package is named by its place, `my_package.my_engine:MyEngine`.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sdbackends.errors import BackendNotReadyError, SdError, UsageError
from sdbackends.utils.error_text import in_all_words

if TYPE_CHECKING:
    from sdbackends.engines.base import Engine, EngineContext
    from sdbackends.engines.options import EngineOptions

#: Engine name -> "module:class".
ENGINES = {
    "eager": "sdbackends.engines.eager:EagerEngine",
    "inductor": "sdbackends.engines.inductor:InductorEngine",
    "jax": "sdbackends.engines.jax.engine:JaxEngine",
    "oneflow": "sdbackends.engines.oneflow.engine:OneflowEngine",
    "openvino": "sdbackends.engines.openvino.engine:OpenvinoEngine",
}
#: Engine name, host -> "module:class" of the record of its options, which needs no framework.
_OPTIONS = {
    ("eager", "torch"): "sdbackends.engines.options:EagerOptions",
    ("inductor", "torch"): "sdbackends.engines.inductor_options:InductorOptions",
    ("jax", "torch"): "sdbackends.engines.jax_options:JaxEngineOptions",
    ("oneflow", "torch"): "sdbackends.engines.oneflow.options:OneflowOptions",
    ("openvino", "torch"): "sdbackends.engines.openvino.options:OpenvinoOptions",
    ("oneflow", "oneflow"): "sdbackends.engines.oneflow.host_options:OneflowHostOptions",
}
#: Those that start from the module and capture in a way of their own: they have no table of ops.
WITHOUT_GRAPHS = frozenset({"eager", "inductor"})


def is_plain_torch(engine: str) -> bool:
    """Whether the engine is torch as the script has it, so that no call need be sent there."""
    return engine == "eager"


def own_module(engine: str) -> str | None:
    """The module of an engine that is named by its place; None: the name is no place."""
    found = re.fullmatch(r"([A-Za-z_][\w.]*):[A-Za-z_]\w*", engine)
    return found[1] if found else None


def option_record(engine: str, host: str) -> type[EngineOptions] | None:
    """Find the record of the engine's options; None: an engine from outside checks them itself."""
    module, _, name = _OPTIONS.get((engine, host), "").partition(":")
    if not module:
        return None
    record: type[EngineOptions] = getattr(import_module(module), name)
    return record


def cache_folder(engine: str) -> str:
    """What the engine's folder in the cache directory is called."""
    return engine if engine in ENGINES else f"own/{engine.replace(':', '.')}"


def create(engine: str, context: EngineContext) -> Engine:
    """Make the engine.

    Raises:
        BackendNotReadyError: its runtime or the device asked for is missing.
        UsageError: an option is not one of the engine's, or its name leads to no engine.
    """
    kind = _class(engine)
    try:
        made: Engine = kind(context)
    except SdError:
        raise
    except Exception as error:
        raise BackendNotReadyError(
            f"the engine {engine!r} could not be started", why=in_all_words(error)
        ) from error
    return made


def _class(engine: str) -> Any:
    from sdbackends.engines.base import Engine

    module, _, name = ENGINES.get(engine, engine).partition(":")
    try:
        kind = getattr(import_module(module), name)
    except Exception as error:
        raise BackendNotReadyError(
            f"the engine {engine!r} cannot be imported",
            why=in_all_words(error),
            fix=f"try `python -c 'from {module} import {name}'`; a folder is made known by "
            "PYTHONPATH",
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, Engine)):
        raise UsageError(
            f"{engine!r} is no engine",
            why=f"{name} is neither a GraphEngine nor a ModuleEngine of sdbackends.engines.base",
            fix="docs/adding-an-engine.md shows a whole one",
        )
    return kind
