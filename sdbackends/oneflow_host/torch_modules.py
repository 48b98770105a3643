"""The modules that a script imports as `torch` and `torch.…`, and the finder that serves them.

A dressed module holds no names of its own: it asks `names` once for each, and keeps the answer.
A missing name is a placeholder for a plain mention and for the listed `from` imports; every other
way of asking gets an `AttributeError` with the reason.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from types import ModuleType
from typing import Any

from sdbackends.oneflow_host import names, registry
from sdbackends.oneflow_host.entry import distributions
from sdbackends.oneflow_host.missing_names import Absent, asked, missing
from sdbackends.oneflow_host.placeholders import PLACEHOLDERS

#: One module a name for the whole process: libraries keep what they imported, also when the host
#: is undone and applied again.
_made: dict[str, DressedModule] = {}


def was_made() -> bool:
    """Whether this process has had the host's torch before."""
    return "torch" in _made


class DressedModule(ModuleType):
    """`torch`, or a module below it."""

    def __getattr__(self, name: str) -> Any:
        dotted = f"{self.__name__}.{name}"
        if name.startswith("__"):
            raise AttributeError(f"{self.__name__} has no {name}", name=name, obj=self)
        if names.is_module(dotted) and not names.is_hollow(dotted):
            return importlib.import_module(dotted)
        try:
            found = names.member(self.__name__, name)
        except names.NotThereError as error:
            how = asked(name, sys._getframe(1))
            if how == "mention" or (how == "import" and dotted in PLACEHOLDERS):
                return Absent(dotted, str(error))
            raise missing(dotted, str(error)) from None
        self.__dict__[name] = found
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        # The import system binds a module to its parent; there a hollow one would look real.
        if not (isinstance(value, DressedModule) and names.is_hollow(value.__name__)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        real = names.oneflow_module(self.__name__)
        own = [n for n in dir(real) if not n.startswith("_")] if real else []
        start = self.__name__ + "."
        provided = [
            dotted[len(start) :].partition(".")[0]
            for dotted in registry.PROVIDED
            if dotted.startswith(start)
        ]
        return sorted({*vars(self), *own, *provided})


class HostFinder(DistributionFinder):
    """On `sys.meta_path`: serves `torch` and `torch.…`, and says that torch is installed.

    `importlib.metadata` asks every finder for distributions, so libraries that look for torch's
    version before they import it find the host's, with nothing patched.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != "torch" or not names.is_module(fullname):
            return None
        return spec(fullname)

    def find_distributions(
        self, context: DistributionFinder.Context | None = None
    ) -> Iterable[Distribution]:
        return distributions(context)


class DressedLoader(Loader):
    """Gives the module of that name, and has nothing to execute."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        if spec.name not in _made:
            _made[spec.name] = DressedModule(spec.name)
        return _made[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ in ("torch", "torch.version"):
            registry.load()
            vars(module)["__version__"] = registry.PROVIDED["torch.__version__"]


def spec(fullname: str) -> ModuleSpec:
    """The spec of a dressed module; every one of them can have modules below it."""
    return ModuleSpec(fullname, DressedLoader(), origin="oneflow", is_package=True)
