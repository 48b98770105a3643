"""Which calls of which models go to an engine.

`install` waits for diffusers and transformers, and then stands in front of the calls of their model
base classes and of the autoencoders' encoder and decoder. Only the outermost call is routed, and
only inference: with gradients enabled, or in train mode with dropout, the model runs on eager
torch, which is said once. Everything around the models (schedulers, guidance, noise, tokenizers,
image processing) stays plain torch.
"""

from __future__ import annotations

import functools
import inspect
import numbers
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import torch
from torch._dynamo.exc import TorchDynamoException

from sdbackends import catalog, forking, inference, machine, recorders, say, undoing
from sdbackends.build import Builder, Strategy
from sdbackends.cache_folder import open_folder
from sdbackends.capture.call_record import CallRecord
from sdbackends.capture.forked import forked_amid_trace, traces_elsewhere
from sdbackends.capture.store import CaptureStore
from sdbackends.compiled_module import as_compiled
from sdbackends.engines import cache_folder, create
from sdbackends.engines.base import EngineContext, GraphEngine, ModuleEngine
from sdbackends.engines.left_behind import is_left_behind
from sdbackends.errors import CaptureError, SdError, UnsupportedOpsError, UsageError
from sdbackends.events import Listener, Listeners
from sdbackends.host import precision
from sdbackends.host.imports import when_imported
from sdbackends.host.overlay import Overlay
from sdbackends.in_words import in_words, text_of
from sdbackends.programs import RoutedModel
from sdbackends.settings import Settings

_nn_call = torch.nn.Module.__call__


def _eager(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
    """Call the model on eager torch; a script may have replaced `Module.__call__`."""
    return torch.nn.Module.__call__(module, *args, **kwargs)


def install(
    settings: Settings,
    overlay: Overlay,
    listeners: Sequence[Listener] = (),
    strategy: Strategy | None = None,
) -> Router:
    """Route the models of diffusers and transformers as `settings` say, until `overlay` is undone.

    `listeners` are told what happens; `strategy` makes programs of captures in the engines' place.

    Raises:
        UnknownBackendError: a backend that the settings name does not exist.
        BackendNotReadyError: a package that it needs is missing.
    """
    router = Router(settings, listeners, strategy)
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
        self._strategy = strategy
        self._backends = {name: catalog.require(name) for name in settings.backend.names}
        if "auto" in self._backends:
            say.note(f"SD_BACKEND=auto: {self._backends['auto'].name}")
        for backend in self._backends.values():
            _check_precision(backend, settings)
        self._engines: dict[str, GraphEngine | ModuleEngine] = {}
        self._models: weakref.WeakKeyDictionary[torch.nn.Module, RoutedModel] = (
            weakref.WeakKeyDictionary()
        )
        self._closing: list[weakref.finalize[..., Any]] = []
        self._here = threading.local()
        self._lock = forking.reentrant_lock()
        self._process = os.getpid()

    def stand_before(self, base: type[torch.nn.Module], overlay: Overlay) -> None:
        """Every call of an instance of `base` asks the router first."""

        @functools.wraps(_nn_call)
        def routed(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
            # While another engine traces the model, this wrapper must leave no trace. The first
            # question is Dynamo's own, which it answers while it traces; the flag of the other one
            # is up in every thread.
            if torch.compiler.is_dynamo_compiling():
                return _eager(module, *args, **kwargs)
            if torch.compiler.is_compiling() and not traces_elsewhere():
                return _eager(module, *args, **kwargs)
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
            if isinstance(model, torch.nn.Module) and self._takes_over(model):
                return as_compiled(model)
            return compile_(model, *args, **kwargs)

        return compile

    def _takes_over(self, model: torch.nn.Module) -> bool:
        """Whether a script's own compiling of the model is left to a backend, which is said."""
        name = self.settings.backend.of(part_of(model))
        if name is None or name == "torch" or not self._is_routed(model):
            return False
        say.warn_once(
            ("compile", type(model)),
            f"the script's torch.compile of {type(model).__name__} is left to {name}",
        )
        return True

    def call(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One call of a model: on its engine, or on eager torch with the reason said once."""
        if getattr(self._here, "inside", False):
            return _eager(module, *args, **kwargs)
        self._here.inside = True
        routed = self._models.get(module)
        precision.settle(module, again=routed is not None and routed.served)
        args, kwargs = precision.fitting(module, args, kwargs)
        try:
            name = self.settings.backend.of(part_of(module))
            if name is None or self._has_inner_targets(module):
                self._here.inside = False
                return _eager(module, *args, **kwargs)
            return self._call_on(name, module, args, kwargs)
        finally:
            self._here.inside = False

    def close(self) -> None:
        for closing in self._closing:
            closing.detach()
        self._closing.clear()
        models, engines = list(self._models.items()), list(self._engines.items())
        self._models.clear()
        self._engines.clear()
        undoing.run_all(
            [
                *((f"the programs of {label_of(module)}", m.close) for module, m in models),
                *((f"the engine of {name}", engine.close) for name, engine in engines),
            ]
        )

    def _call_on(
        self, name: str, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        backend = self._backends[name]
        if backend.engine == "eager":
            return _eager(module, *args, **kwargs)
        if module._compiled_call_impl is not None:
            self._takes_over(module)
        reason = self._unfit(name) or inference.why_not(module, args, kwargs)
        if reason is not None:
            self.listeners.stayed(module, reason)
            say.warn_once(
                ("eager", id(module), reason), f"{label_of(module)} stays on eager torch: {reason}"
            )
            return _eager(module, *args, **kwargs)
        hook = getattr(module, "_hf_hook", None)
        given = args, kwargs
        if hook is not None:
            args, kwargs = hook.pre_forward(module, *args, **kwargs)
        args, kwargs = _with_tensor_timestep(module, args, kwargs)
        try:
            with self._lock:
                model = self._model(name, module)
            recorders.lay(module, kwargs)
            with torch.no_grad():
                result, call = model(module, args, kwargs, inner=hook is not None)
        except SdError as error:
            return self._fall_back(name, error, module, *given)
        except TorchDynamoException as error:
            return self._fall_back(name, _untraced(module, error), module, *given)
        self._tell(name, module, call)
        return result if hook is None else hook.post_forward(module, result)

    def _tell(self, name: str, module: torch.nn.Module, call: CallRecord) -> None:
        """Say what of a call ran on eager torch, or raise it where that is forbidden."""
        if call.ran:
            self.listeners.called(label_of(module))
        for reason in call.reasons:
            # What a backend of Dynamo's raises comes wrapped, and the wrapper's words say nothing.
            reason = getattr(reason, "inner_exception", reason)
            error = reason if isinstance(reason, SdError) else _untraced(module, reason)
            self.listeners.fell_back(label_of(module), name, error)
            if self.settings.fallback == "error":
                raise error
            part = "a part of this call runs" if call.ran else "this call runs"
            text = text_of(error) or in_words(error)
            say.warn_once(("fallback", id(module), text), f"{text}\n  so:   {part} on eager torch")

    def _fall_back(
        self, name: str, error: SdError, module: torch.nn.Module, args: Any, kwargs: Any
    ) -> Any:
        """Eager torch with the reason said once; under `SD_FALLBACK=error` the reason is raised.

        Eager goes first: a call that is wrong in itself raises the script's own error. One that was
        captured is right, so a missing op is said before anything has run.
        """
        captured = isinstance(error, UnsupportedOpsError)
        result = None if captured else _eager(module, *args, **kwargs)
        self.listeners.fell_back(label_of(module), name, error)
        if self.settings.fallback == "error":
            raise error
        text = text_of(error) or in_words(error)
        say.warn_once(
            ("fallback", id(module), text), f"{text}\n  so:   this call runs on eager torch"
        )
        return _eager(module, *args, **kwargs) if captured else result

    def _unfit(self, name: str) -> str | None:
        """Why no call can use the engine: a runtime's threads do not survive a fork."""
        if self._process == os.getpid():
            return None
        engine = self._engines.get(name)
        lost = engine is not None and not engine.survives_fork
        if lost or is_left_behind(self._backends[name].engine):
            return (
                f"{name} was started before this process was forked (start it in the child instead)"
            )
        if forked_amid_trace():
            return "another thread was building a program when this process was forked"
        return None

    def _model(self, name: str, module: torch.nn.Module) -> RoutedModel:
        model = self._models.get(module)
        if model is None:
            builder = Builder(
                label_of(module),
                self._backends[name].name,
                self._engine(name),
                self._captures,
                self.listeners,
                self._strategy,
            )
            strict = self.settings.fallback == "error"
            model = RoutedModel(builder, verify=self.settings.verify, strict=strict)
            self._models[module] = model
            # Dynamo itself keeps programs for ever; closed, they hold no weights.
            self._closing = [each for each in self._closing if each.alive]
            self._closing.append(weakref.finalize(module, model.close))
            self._closing[-1].atexit = False
        return model

    def _engine(self, name: str) -> GraphEngine | ModuleEngine:
        if name not in self._engines:
            backend = self._backends[name]
            context = EngineContext(
                options=backend.options,
                device=self.settings.device,
                cache_dir=open_folder(self.settings, cache_folder(backend.engine)),
                worker=backend.worker,
            )
            self._engines[name] = create(backend.engine, context)
        return self._engines[name]

    @functools.cached_property
    def _captures(self) -> CaptureStore:
        return CaptureStore(open_folder(self.settings, "captures"))

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


def _untraced(module: torch.nn.Module, error: BaseException) -> CaptureError:
    return CaptureError(
        f"{label_of(module)} cannot be captured",
        why=in_words(error),
        mend="the model runs on eager torch instead; SD_LOG=debug shows the whole reason",
    )


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
        # NumPy's integers too. Its float32 is no number to the models themselves.
        if isinstance(value, bool) or not isinstance(value, (numbers.Integral, float)):
            return value
        dtype = torch.int64 if isinstance(value, numbers.Integral) else torch.float64
        device = next((p.device for p in module.parameters()), None)
        return torch.tensor(
            int(value) if dtype is torch.int64 else value, dtype=dtype, device=device
        )

    if "timestep" in kwargs:
        return args, {**kwargs, "timestep": lift(kwargs["timestep"])}
    at = _timestep_position(type(module).forward)
    if at is not None and at < len(args):
        return (*args[:at], lift(args[at]), *args[at + 1 :]), kwargs
    return args, kwargs
