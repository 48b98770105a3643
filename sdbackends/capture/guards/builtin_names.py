"""Guard names that a function finds among Python's builtins, and modules that it imports.

`len` is looked up among the globals of the function's module first, where a script may put one of
its own later, and a script may add a name to `builtins`; `import settings` inside a forward gives
what stands in `sys.modules` at that moment. Dynamo takes all of them for what they were.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

from torch._dynamo.exc import unimplemented
from torch._dynamo.source import DictGetItemSource, GlobalSource
from torch._dynamo.symbolic_convert import InstructionTranslatorBase
from torch._dynamo.variables.base import VariableTracker

from sdbackends.capture.guards.checks import check_text, check_value, first_time
from sdbackends.capture.guards.opcodes import wrapped


def changes() -> Iterator[tuple[Any, str, Any]]:
    """What to replace while a trace of ours runs: the owner, the name, the value."""
    base = InstructionTranslatorBase
    yield base, "load_builtin", _load_builtin(vars(base)["load_builtin"])
    yield from wrapped("IMPORT_NAME", _import_name)


def _load_builtin(original: Any) -> Any:
    @functools.wraps(original)
    def load_builtin(self: Any, inst: Any) -> None:
        name, found = inst.argval, self.f_builtins
        if first_time(self.output, (id(self.f_globals), name)):
            _guard_globals(self, name)
        if name in found and not callable(found[name]) and not _is_singleton(found[name]):
            builtins = GlobalSource(self.output.name_of_builtins_dict_key_in_fglobals)
            source = DictGetItemSource(builtins, name)
            self.push(VariableTracker.build(self, found[name], source))
        else:
            original(self, inst)

    return load_builtin


def _is_singleton(value: Any) -> bool:
    return value is None or value is Ellipsis or value is NotImplemented or isinstance(value, bool)


def _guard_globals(translator: Any, name: str) -> None:
    """That the function's module has no such global."""
    home = str(translator.f_globals.get("__name__", ""))
    if home.partition(".")[0] in ("torch", "sdbackends", *sys.stdlib_module_names):
        return
    if translator.output.global_scope is translator.f_globals:
        return  # the frame is our own
    _, _, source = translator.get_globals_source_and_value(name)
    # The globals of a module, or a dict that a function was made with.
    table = "" if isinstance(source, DictGetItemSource) else ".__dict__"
    check_text(source.base, f"{name!r} not in {source.base.name}{table}")


def _import_name(translator: Any, inst: Any, original: Callable[[Any, Any], None]) -> None:
    original(translator, inst)
    module = translator.stack[-1]
    value, source = module.value, module.source
    if translator.output.global_scope.get(getattr(source, "global_name", None)) is not value:
        unimplemented(
            gb_type="import of a module that was replaced",
            context=str(value),
            explanation=f"the module {value.__name__} was replaced in sys.modules",
            hints=[],
        )
    name = value.__name__
    if sys.modules.get(name) is value and first_time(translator.output, ("import", name)):
        check_value(
            source,
            lambda _: sys.modules.get(name) is value,
            f"sys.modules[{name!r}] is {source.name}",
        )
