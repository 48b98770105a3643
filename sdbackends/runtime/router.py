"""Decide which calls of which models go to an engine.

`install` waits for diffusers and transformers, and then wraps the calls of their model base classes
and of the autoencoders' encoder and decoder. Only the outermost call is routed, and only inference:
with gradients enabled, or in train mode with dropout, the model runs on eager torch, which is said
once. Everything around the models (schedulers, guidance, noise, tokenizers, image processing) stays
plain torch.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch._dynamo.exc import TorchDynamoException

from sdbackends import log
from sdbackends.errors import SdError
from sdbackends.host.import_hooks import when_imported
from sdbackends.host.patches import Patches
from sdbackends.runtime import prepare, wrapping
from sdbackends.runtime.build import Builder, Strategy
from sdbackends.runtime.eligibility import ineligible_reason
from sdbackends.runtime.engine_pool import EnginePool
from sdbackends.runtime.events import Listener, Listeners
from sdbackends.runtime.fallback import Fallback
from sdbackends.runtime.parts import label_of, part_of
from sdbackends.runtime.program_cache import RoutedModel
from sdbackends.runtime.wrapping import call_eager
from sdbackends.settings import Settings
from sdbackends.utils import fork_safety, undoing


def install(
    settings: Settings,
    patches: Patches,
    listeners: Sequence[Listener] = (),
    strategy: Strategy | None = None,
) -> Router:
    """Route the models of diffusers and transformers as `settings` say, until `patches` are undone.

    `listeners` are told what happens; `strategy` makes programs of captures in the engines' place.

    Raises:
        UnknownBackendError: a backend that the settings name does not exist.
        BackendNotReadyError: a package that it needs is missing.
    """
    router = Router(settings, listeners, strategy)
    patches.on_undo("routed models", router.close)
    for library, base in (
        ("diffusers.models.modeling_utils", "ModelMixin"),
        ("transformers.modeling_utils", "PreTrainedModel"),
    ):
        when_imported(
            library,
            lambda m, base=base: wrapping.wrap_calls(getattr(m, base), router.call, patches),  # type: ignore[misc]
            patches,
        )
    when_imported(
        "diffusers.models.autoencoders.vae",
        lambda m: wrapping.wrap_coders(m, router.call, patches),
        patches,
    )
    wrapping.wrap_compile(router.takes_over, patches)
    return router


class Router:
    """Decides for every model call, and keeps the engines and the routed models."""

    def __init__(
        self,
        settings: Settings,
        listeners: Sequence[Listener] = (),
        strategy: Strategy | None = None,
    ) -> None:
        self.settings = settings
        self.listeners = Listeners(listeners)
        self.engines = EnginePool(settings)
        self._fallback = Fallback(self.listeners, strict=settings.fallback == "error")
        self._strategy = strategy
        self._models: weakref.WeakKeyDictionary[torch.nn.Module, RoutedModel] = (
            weakref.WeakKeyDictionary()
        )
        self._closing: list[weakref.finalize[..., Any]] = []
        self._here = threading.local()
        self._lock = fork_safety.reentrant_lock()

    def takes_over(self, model: torch.nn.Module) -> bool:
        """Whether a script's own compiling of the model is left to a backend, which is said."""
        name = self.settings.backend.of(part_of(model))
        if name is None or self.engines.is_plain_torch(name) or not wrapping.is_wrapped(model):
            return False
        log.warn_once(
            ("compile", type(model)),
            f"the script's torch.compile of {type(model).__name__} is left to {name}",
        )
        return True

    def call(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Answer a call of a model on its engine, or on eager torch with the reason said once."""
        if getattr(self._here, "inside", False):
            return call_eager(module, *args, **kwargs)
        self._here.inside = True
        try:
            routed = self._models.get(module)
            again = routed is not None and routed.served
            args, kwargs = prepare.convert(module, args, kwargs, again=again)
            name = self.settings.backend.of(part_of(module))
            if name is None or wrapping.only_wraps_others(module):
                self._here.inside = False  # models inside it are routed
                return call_eager(module, *args, **kwargs)
            if self.engines.is_plain_torch(name):
                return call_eager(module, *args, **kwargs)
            return self._call_on(name, module, args, kwargs)
        finally:
            self._here.inside = False

    def close(self) -> None:
        for closing in self._closing:
            closing.detach()
        self._closing.clear()
        models = list(self._models.items())
        self._models.clear()
        steps = [(f"the programs of {label_of(module)}", m.close) for module, m in models]
        undoing.run_all([*steps, *self.engines.steps_to_close()])

    def _call_on(
        self, name: str, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if module._compiled_call_impl is not None:
            self.takes_over(module)
        reason = self.engines.lost_by_fork(name) or ineligible_reason(module, args, kwargs)
        if reason is not None:
            self.listeners.stayed(module, reason)
            log.warn_once(
                ("eager", id(module), reason), f"{label_of(module)} stays on eager torch: {reason}"
            )
            return call_eager(module, *args, **kwargs)
        call = prepare.PreparedCall(module, args, kwargs)
        try:
            with self._lock:
                model = self._model(name, module)
            with torch.no_grad():
                result, done = model(module, call.args, call.kwargs, inner=call.inner)
        except (SdError, TorchDynamoException) as error:
            return self._fallback.answer(name, error, module, args, kwargs)
        self._fallback.tell(name, module, done)
        return call.finished(result)

    def _model(self, name: str, module: torch.nn.Module) -> RoutedModel:
        model = self._models.get(module)
        if model is None:
            builder = Builder(
                label_of(module),
                self.engines.full_name(name),
                self.engines.engine(name),
                self.engines.captures,
                self.listeners,
                self._strategy,
            )
            verify, strict = self.settings.verify, self._fallback.strict
            model = RoutedModel(builder, verify=verify, strict=strict)
            self._models[module] = model
            # Dynamo itself keeps programs for ever; closed, they hold no weights.
            self._closing = [each for each in self._closing if each.alive]
            self._closing.append(weakref.finalize(module, model.close))
            self._closing[-1].atexit = False
        return model
