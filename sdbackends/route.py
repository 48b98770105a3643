"""Which calls of which models go to an engine.

`install` waits for diffusers and transformers, and then stands in front of the calls of their model
base classes and of the autoencoders' encoder and decoder. Only the outermost call is routed, and
only inference: with gradients enabled or in train mode the model runs on eager torch, which is
said once. Everything around the models (schedulers, guidance, noise, tokenizers, image processing)
stays plain torch.
"""

from __future__ import annotations

import functools
import inspect
import threading
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

from sdbackends import catalog, inference, machine, recorders, say
from sdbackends.artifacts import CaptureStore
from sdbackends.build import Builder
from sdbackends.engines import cache_folder, create
from sdbackends.engines.base import EngineContext, GraphEngine, ModuleEngine
from sdbackends.errors import SdError, UnsupportedOpsError, UsageError
from sdbackends.host import precision
from sdbackends.host.imports import when_imported
from sdbackends.host.overlay import Overlay
from sdbackends.programs import RoutedModel
from sdbackends.settings import Settings

_nn_call = torch.nn.Module.__call__


def install(settings: Settings, overlay: Overlay) -> None:
    """Route the models of diffusers and transformers as `settings` say, until `overlay` is undone.

    Raises:
        UnknownBackendError: a backend that the settings name does not exist.
        BackendNotReadyError: a package that it needs is missing.
    """
    router = Router(settings)
    overlay.on_undo("routed models", router.close)
    when_imported(
        "diffusers.models.modeling_utils",
        lambda m: router.stand_before(m.ModelMixin, overlay),
        overlay,
    )
    when_imported(
        "transformers.modeling_utils",
        lambda m: router.stand_before(m.PreTrainedModel, overlay),
        overlay,
    )
    when_imported(
        "diffusers.models.autoencoders.vae",
        lambda m: router.stand_before_coders(m, overlay),
        overlay,
    )
    overlay.set(torch, "compile", router.leave_compile(torch.compile))


class Router:
    """Decides for every model call, and keeps the engines and the routed models."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._backends = {name: catalog.require(name) for name in settings.backend.names}
        if "auto" in self._backends:
            say.note(f"SD_BACKEND=auto: {self._backends['auto'].name}")
        for backend in self._backends.values():
            _check_precision(backend, settings)
        self._engines: dict[str, GraphEngine | ModuleEngine] = {}
        self._models: weakref.WeakKeyDictionary[torch.nn.Module, RoutedModel] = (
            weakref.WeakKeyDictionary()
        )
        self._captures = CaptureStore(settings.cache_folder / "captures")
        self._here = threading.local()
        self._lock = threading.RLock()

    def stand_before(self, base: type[torch.nn.Module], overlay: Overlay) -> None:
        """Every call of an instance of `base` asks the router first."""

        @functools.wraps(_nn_call)
        def routed(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
            # While another engine traces the model, this wrapper must leave no trace.
            if torch.compiler.is_compiling():
                return _nn_call(module, *args, **kwargs)
            return self.call(module, args, kwargs)

        overlay.set(base, "__call__", routed)

    def stand_before_coders(self, vae: ModuleType, overlay: Overlay) -> None:
        """Route the encoder and decoder of the autoencoders, not `encode` and `decode` themselves.

        Slicing, tiling and the latent distribution then stay plain torch around one program, and
        a tile costs no capture of its own.
        """
        for thing in list(vars(vae).values()):
            if (
                isinstance(thing, type)
                and issubclass(thing, torch.nn.Module)
                and thing.__module__ == vae.__name__
                and ("Encoder" in thing.__name__ or "Decoder" in thing.__name__)
            ):
                self.stand_before(thing, overlay)

    def leave_compile(self, compile_: Callable[..., Any]) -> Callable[..., Any]:
        """`torch.compile(pipe.unet)` in a script: the chosen backend stands in for it."""

        @functools.wraps(compile_)
        def compile(model: Any = None, *args: Any, **kwargs: Any) -> Any:
            if isinstance(model, torch.nn.Module):
                name = self.settings.backend.of(part_of(model))
                if name is not None and self._is_routed(model) and name != "torch":
                    say.warn_once(
                        ("compile", type(model)),
                        f"the script's torch.compile of {type(model).__name__} is left to {name}",
                    )
                    return model
            return compile_(model, *args, **kwargs)

        return compile

    def call(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One call of a model: on its engine, or on eager torch with the reason said once."""
        if getattr(self._here, "inside", False):
            return _nn_call(module, *args, **kwargs)
        self._here.inside = True
        precision.settle(module)
        args, kwargs = precision.fitting(module, args, kwargs)
        try:
            name = self.settings.backend.of(part_of(module))
            if name is None or self._has_inner_targets(module):
                self._here.inside = False
                return _nn_call(module, *args, **kwargs)
            return self._call_on(name, module, args, kwargs)
        finally:
            self._here.inside = False

    def close(self) -> None:
        for model in self._models.values():
            model.close()
        self._models.clear()
        for engine in self._engines.values():
            engine.close()
        self._engines.clear()

    def _call_on(
        self, name: str, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        backend = self._backends[name]
        if backend.engine == "eager" or module._compiled_call_impl is not None:
            return _nn_call(module, *args, **kwargs)
        reason = inference.why_not(module, kwargs)
        if reason is not None:
            say.warn_once(
                ("eager", id(module), reason), f"{label_of(module)} stays on eager torch: {reason}"
            )
            return _nn_call(module, *args, **kwargs)
        hook = getattr(module, "_hf_hook", None)
        given = args, kwargs
        if hook is not None:
            args, kwargs = hook.pre_forward(module, *args, **kwargs)
        args, kwargs = _with_tensor_timestep(module, args, kwargs)
        call = _plain_call(module, hook)
        try:
            with self._lock:
                model = self._model(name, module)
            recorders.lay(module, kwargs)
            with torch.no_grad():
                result = model(module, call, args, kwargs)
        except SdError as error:
            return self._fall_back(error, module, *given)
        return result if hook is None else hook.post_forward(module, result)

    def _fall_back(self, error: SdError, module: torch.nn.Module, args: Any, kwargs: Any) -> Any:
        """Eager torch with the reason said once; under `SD_FALLBACK=error` the reason is raised.

        Eager goes first: a call that is wrong in itself raises the script's own error. One that was
        captured is right, so a missing op is said before anything has run.
        """
        captured = isinstance(error, UnsupportedOpsError)
        result = None if captured else _nn_call(module, *args, **kwargs)
        if self.settings.fallback == "error":
            raise error
        say.warn_once(
            ("fallback", id(module), str(error)), f"{error}\n  so:   this call runs on eager torch"
        )
        return _nn_call(module, *args, **kwargs) if captured else result

    def _model(self, name: str, module: torch.nn.Module) -> RoutedModel:
        model = self._models.get(module)
        if model is None:
            builder = Builder(
                label_of(module), self._backends[name].name, self._engine(name), self._captures
            )
            model = self._models[module] = RoutedModel(builder, self.settings.verify)
        return model

    def _engine(self, name: str) -> GraphEngine | ModuleEngine:
        if name not in self._engines:
            backend = self._backends[name]
            context = EngineContext(
                options=backend.options,
                device=self.settings.device,
                cache_dir=self.settings.cache_folder / cache_folder(backend.engine),
                worker=backend.worker,
            )
            self._engines[name] = create(backend.engine, context)
        return self._engines[name]

    def _is_routed(self, module: torch.nn.Module) -> bool:
        return getattr(type(module).__call__, "__wrapped__", None) is _nn_call

    def _has_inner_targets(self, module: torch.nn.Module) -> bool:
        """What does other things in Python with what the models inside it give; they are routed.

        An autoencoder samples noise, a safety checker decides about what its vision model saw,
        several ControlNets or adapters are added up (and diffusers leaves the sum in train mode).
        """
        if type(module).__name__.endswith("SafetyChecker"):
            return True
        lists = [child for child in module.children() if isinstance(child, torch.nn.ModuleList)]
        if any(len(each) > 0 and all(map(self._is_routed, each)) for each in lists):
            return True
        return any(
            child is not None and self._is_routed(child) and part_of(child) == "vae"
            for child in (module._modules.get("encoder"), module._modules.get("decoder"))
        )


def _check_precision(backend: catalog.Backend, settings: Settings) -> None:
    device = (settings.device or machine.device()).partition(":")[0]
    accepted = backend.precisions_on(device)
    if settings.precision is not None and settings.precision not in accepted:
        raise UsageError(
            f"the backend {backend.name!r} has no precision {settings.precision!r} on {device}",
            where="SD_PRECISION",
            mend=f"accepted: {', '.join(accepted)}; unset it for the script's own",
        )


def part_of(module: torch.nn.Module) -> str:
    """Which part of a pipeline a model is, by its class (see `settings.PARTS`)."""
    kind = type(module)
    name, package = kind.__name__, kind.__module__
    if ".autoencoders." in package or name.startswith(("Autoencoder", "VQModel")):
        return "vae"
    for part, words in (("controlnet", ("ControlNet", "T2IAdapter")), ("unet", ("UNet",))):
        if any(word in name for word in words):
            return part
    if not any(c.__module__.startswith("transformers.") for c in kind.__mro__):
        return "transformer"
    return "image_encoder" if "Vision" in name or "Image" in name else "text_encoder"


def label_of(module: torch.nn.Module) -> str:
    return f"{part_of(module)} ({type(module).__name__})"


def _plain_call(module: torch.nn.Module, hook: Any) -> Callable[..., Any]:
    """The model's own forward: without accelerate's hook, which the router runs itself."""
    if hook is not None:
        plain: Callable[..., Any] = module._old_forward  # type: ignore[assignment]
        return plain
    if module._forward_hooks or module._forward_pre_hooks:
        return functools.partial(_nn_call, module)
    return module.forward


@functools.cache
def _timestep_position(forward: Any) -> int | None:
    names = list(inspect.signature(forward).parameters)
    return names.index("timestep") - 1 if "timestep" in names else None


def _with_tensor_timestep(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A number as timestep becomes a tensor, as diffusers does inside the model.

    Burnt in as a number, every step of the loop would be a capture of its own.
    """

    def lift(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return value
        dtype = torch.int64 if isinstance(value, int) else torch.float64
        device = next((p.device for p in module.parameters()), None)
        return torch.tensor(value, dtype=dtype, device=device)

    if "timestep" in kwargs:
        return args, {**kwargs, "timestep": lift(kwargs["timestep"])}
    at = _timestep_position(type(module).forward)
    if at is not None and at < len(args):
        return (*args[:at], lift(args[at]), *args[at + 1 :]), kwargs
    return args, kwargs
