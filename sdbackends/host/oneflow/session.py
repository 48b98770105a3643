"""The host laid over a process, and taken off again exactly.

`lay` puts the finder in front of every other, OneFlow's tensors and modules into torch's clothes,
and waits for safetensors, transformers and diffusers; every change goes through the overlay, and
undoing it also takes `torch` and all its modules out of `sys.modules`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any

from sdbackends.errors import UsageError
from sdbackends.host.imports import when_imported
from sdbackends.host.overlay import Overlay

_laid: list[Overlay] = []


def is_laid() -> bool:
    return bool(_laid)


def lay(overlay: Overlay, options: Mapping[str, Any]) -> None:
    """Make `torch` mean oneflow until `overlay` is undone; nothing where that is so already."""
    if is_laid():
        return
    _laid.append(overlay)
    overlay.on_undo("the OneFlow host", _laid.clear)
    from sdbackends.host.oneflow import registry
    from sdbackends.host.oneflow.dressed import HostFinder

    registry.load()
    overlay.on_undo("torch in sys.modules", _forget_torch)
    finder = HostFinder()
    sys.meta_path.insert(0, finder)
    overlay.on_undo("finder of torch", lambda: sys.meta_path.remove(finder))
    _dress_classes(overlay)
    importlib.import_module("torch")
    _wait_for_libraries(overlay, options)


def _dress_classes(overlay: Overlay) -> None:
    import oneflow

    from sdbackends.host.oneflow import devices, registry

    for owner in (oneflow.Tensor, oneflow.nn.Module, oneflow.device):
        _forget_additions(owner, overlay)
    for owner, table in ((oneflow.Tensor, registry.TENSOR), (oneflow.nn.Module, registry.MODULE)):
        for name, value in table.items():
            overlay.set(owner, name, value)
    overlay.set(oneflow.device, "__enter__", devices.enter)
    overlay.set(oneflow.device, "__exit__", lambda self, *_: None)


def _forget_additions(owner: Any, overlay: Overlay) -> None:
    """Libraries hang things of their own on torch's classes: transformers on `nn.Module`."""
    before = set(vars(owner))

    def forget() -> None:
        for name in set(vars(owner)) - before:
            delattr(owner, name)

    overlay.on_undo(f"additions to {owner.__name__}", forget)


def _wait_for_libraries(overlay: Overlay, options: Mapping[str, Any]) -> None:
    from sdbackends.host.oneflow import loading, safetensors_bridge
    from sdbackends.host.oneflow.graphs import Router

    safetensors_bridge.lay(overlay)
    when_imported(
        "transformers.modeling_utils", lambda module: loading.lay(module, overlay), overlay
    )
    router = Router(options)
    overlay.on_undo("graphs", router.close)
    when_imported(
        "diffusers.models.modeling_utils",
        lambda module: router.stand_before(module.ModelMixin, overlay),
        overlay,
    )


def _forget_torch() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torch"]:
        del sys.modules[name]


def refuse_when_too_late() -> None:
    """What is imported already has seen another torch, or none, and keeps to that.

    Not asked where a library's own `import torch` begins the host.

    Raises:
        UsageError: torch, diffusers or transformers is imported.
    """
    from sdbackends.host.oneflow import dressed

    early = ("torch",) if dressed.was_made() else ("torch", "diffusers", "transformers")
    for name in early:
        module = sys.modules.get(name)
        if module is not None and not isinstance(module, dressed.DressedModule):
            raise UsageError(
                f"{name} is imported already, so oneflow cannot take torch's place here",
                where=str(getattr(module, "__file__", name)),
                mend='call sdbackends.use("oneflow-host") before torch, diffusers and '
                'transformers are imported, or start after `eval "$(sd-mock oneflow-host)"`',
            )
