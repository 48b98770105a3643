"""The observer: put over diffusers and the router, it times a script that knows nothing of it.

It stands in front of every pipeline's call, of the models' calls (the router's stand-in is called
by it), of the building of programs, and watches for the first model to be loaded. Everything goes
through the session's patches, so that closing the session takes all of it off again.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from sdbackends import log
from sdbackends.host.import_hooks import when_imported
from sdbackends.host.patches import Patches
from sdbackends.matrix.measure import memory, stopwatch, turn_taking
from sdbackends.matrix.measure.image_trace import ImageTrace
from sdbackends.matrix.measure.record import PARTS_FILE, Build, Failure, Measured
from sdbackends.runtime.events import Listener
from sdbackends.utils.error_text import in_all_words, text_of

_nn_call = torch.nn.Module.__call__


class Observer(Listener):
    """Measures this process into `folder`; keeps the picture that is being drawn."""

    def __init__(self, folder: Path, patches: Patches) -> None:
        self.folder = folder
        self.patches = patches
        self.measured = Measured()
        self._started = turn_taking.started(folder)
        self._load_began: float | None = None
        self._picture: ImageTrace | None = None
        self._watched: set[type] = set()
        #: The phase in which a build interrupted.
        self._interrupted = ""

    def installed(self) -> None:
        """Stand before pipelines, models and the router until the patches are undone."""
        for module, then in (
            ("diffusers.pipelines.pipeline_utils", self.watch_pipelines),
            ("diffusers.models.modeling_utils", lambda m: self.watch_models(m.ModelMixin)),
            ("transformers.modeling_utils", lambda m: self.watch_models(m.PreTrainedModel)),
            ("diffusers.models.autoencoders.vae", self.watch_coders),
        ):
            when_imported(module, then, self.patches)

    def building(self, label: str) -> None:
        self._interrupted = self.measured.phase
        self._at(f"{self._interrupted}, building the {label}")

    def built(self, label: str, seconds: float, captured: float) -> None:
        self.measured.builds.append(Build(label, seconds, captured))
        self._at(self._interrupted)

    def watch_pipelines(self, utils: ModuleType) -> None:
        """Every pipeline registers its parts first: there its class is met for the first time."""
        base = utils.DiffusionPipeline
        register, load = base.register_modules, vars(base)["from_pretrained"]

        @functools.wraps(register)
        def registered(pipe: Any, **parts: Any) -> Any:
            kind = type(pipe)
            if kind not in self._watched:
                self._watched.add(kind)
                self.patches.set(kind, "__call__", self._observed_pipeline(kind.__call__))
            return register(pipe, **parts)

        @functools.wraps(load.__func__)
        def loaded(kind: Any, *args: Any, **kwargs: Any) -> Any:
            self._loading()
            return load.__func__(kind, *args, **kwargs)

        self.patches.set(base, "register_modules", registered)
        self.patches.set(base, "from_pretrained", classmethod(loaded))

    def watch_models(self, base: type[torch.nn.Module]) -> None:
        """Calls of models, and the first one that is made."""
        make: Callable[..., None] = base.__init__

        @functools.wraps(make)
        def made(model: Any, *args: Any, **kwargs: Any) -> None:
            self._loading()
            make(model, *args, **kwargs)

        self.patches.set(base, "__init__", made)
        self._watch_calls(base)

    def watch_coders(self, vae: ModuleType) -> None:
        """The encoders and decoders of autoencoders, where the router stands before them too."""
        for kind in list(vars(vae).values()):
            if isinstance(kind, type) and "__call__" in vars(kind):
                self._watch_calls(kind)

    def _watch_calls(self, base: type[torch.nn.Module]) -> None:
        call: Callable[..., Any] = base.__call__

        # As the router has it: who unwraps this must come to torch's own call.
        @functools.wraps(_nn_call)
        def observed(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_compiling():
                return call(module, *args, **kwargs)
            picture = self._picture
            if picture is None:
                return call(module, *args, **kwargs)
            if picture.counting:
                return _nn_call(module, *args, **kwargs)
            return picture.call(call, module, args, kwargs)

        self.patches.set(base, "__call__", observed)

    def _observed_pipeline(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def observed(pipe: Any, *args: Any, **kwargs: Any) -> Any:
            if self._picture is not None:  # a pipeline inside a pipeline
                return call(pipe, *args, **kwargs)
            return self._draw(lambda: call(pipe, *args, **kwargs))

        return observed

    def _draw(self, draw: Callable[[], Any]) -> Any:
        number = len(self.measured.images)
        if number == 0 and self._load_began is not None:
            self.measured.loading = time.time() - self._load_began
        turn_taking.wait(self.folder, number)
        self._at(f"drawing picture {number + 1}")
        self._picture = picture = ImageTrace(first=number == 0)
        begun = time.perf_counter()
        try:
            drawn = draw()
            stopwatch.finish()
            seconds = time.perf_counter() - begun
            self._keep(picture, seconds)
            return drawn
        except BaseException as error:
            kinds = tuple(kind.__name__ for kind in type(error).__mro__)
            self.measured.failure = Failure(kinds, text_of(error))
            raise
        finally:
            self._picture = None
            self.measured.write(self.folder)

    def _keep(self, picture: ImageTrace, seconds: float) -> None:
        measured = self.measured
        if picture.first:
            measured.weights = memory.weights(picture.models)
            if turn_taking.counted(self.folder):
                measured.flops = _said_if_it_fails("FLOPs", picture.flops) or {}
            _said_if_it_fails(PARTS_FILE, lambda: picture.save(self.folder / PARTS_FILE))
        measured.peak_gpu = memory.peak_gpu()
        measured.parts.append(picture.samples())
        measured.images.append(seconds)
        measured.phase = f"after picture {len(measured.images)}"

    def _loading(self) -> None:
        """The first model is about to be made: the imports are over."""
        if self._load_began is None:
            self._load_began = time.time()
            if self._started is not None:
                self.measured.importing = self._load_began - self._started
            self._at("loading")

    def _at(self, phase: str) -> None:
        self.measured.phase = phase
        self.measured.write(self.folder)


def _said_if_it_fails(what: str, action: Callable[[], Any]) -> Any:
    """A script must not end because something could not be measured."""
    try:
        return action()
    except Exception as error:
        log.warn(f"{what} could not be measured: {in_all_words(error)}")
        return None
