"""Apply the host to a process, and undo it exactly.

`apply` puts the finder in front of every other, OneFlow's tensors and modules into torch's clothes,
and waits for safetensors, transformers and diffusers; every change goes through the patches, and
undoing it also takes `torch` and all its modules out of `sys.modules`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any

from sdbackends.errors import UsageError
from sdbackends.host.import_hooks import when_imported
from sdbackends.host.patches import Patches

_applied: list[Patches] = []


def is_applied() -> bool:
    return bool(_applied)


def apply(patches: Patches, options: Mapping[str, Any]) -> None:
    """Make `torch` mean oneflow until `patches` are undone; nothing where that is so already."""
    if is_applied():
        return
    _applied.append(patches)
    patches.on_undo("the OneFlow host", _applied.clear)
    from sdbackends.oneflow_host import registry
    from sdbackends.oneflow_host.torch_modules import HostFinder

    registry.load()
    patches.on_undo("torch in sys.modules", _forget_torch)
    finder = HostFinder()
    sys.meta_path.insert(0, finder)
    patches.on_undo("finder of torch", lambda: sys.meta_path.remove(finder))
    _dress_classes(patches)
    importlib.import_module("torch")
    _wait_for_libraries(patches, options)


def _dress_classes(patches: Patches) -> None:
    import oneflow

    from sdbackends.oneflow_host import devices, registry

    for owner in (oneflow.Tensor, oneflow.nn.Module, oneflow.device):
        _forget_additions(owner, patches)
    for owner, table in ((oneflow.Tensor, registry.TENSOR), (oneflow.nn.Module, registry.MODULE)):
        for name, value in table.items():
            patches.set(owner, name, value)
    patches.set(oneflow.device, "__enter__", devices.enter)
    patches.set(oneflow.device, "__exit__", lambda self, *_: None)


def _forget_additions(owner: Any, patches: Patches) -> None:
    """Libraries hang things of their own on torch's classes: transformers on `nn.Module`."""
    before = set(vars(owner))

    def forget() -> None:
        for name in set(vars(owner)) - before:
            delattr(owner, name)

    patches.on_undo(f"additions to {owner.__name__}", forget)


def _wait_for_libraries(patches: Patches, options: Mapping[str, Any]) -> None:
    from sdbackends.engines.oneflow.host_options import OneflowHostOptions
    from sdbackends.oneflow_host import loading, safetensors_bridge
    from sdbackends.oneflow_host.graphs import GraphRouter

    safetensors_bridge.apply(patches)
    when_imported(
        "transformers.modeling_utils", lambda module: loading.apply(module, patches), patches
    )
    router = GraphRouter(OneflowHostOptions.checked(options))
    patches.on_undo("graphs", router.close)
    when_imported(
        "diffusers.models.modeling_utils",
        lambda module: router.stand_before(module.ModelMixin, patches),
        patches,
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
    from sdbackends.oneflow_host import torch_modules

    early = ("torch",) if torch_modules.was_made() else ("torch", "diffusers", "transformers")
    for name in early:
        module = sys.modules.get(name)
        if module is not None and not isinstance(module, torch_modules.DressedModule):
            raise UsageError(
                f"{name} is imported already, so oneflow cannot take torch's place here",
                where=str(getattr(module, "__file__", name)),
                fix='call sdbackends.use("oneflow-host") before torch, diffusers and '
                'transformers are imported, or start after `eval "$(sd-mock oneflow-host)"`',
            )
