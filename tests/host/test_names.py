"""What replaces a name of torch looks, pickles, copies and scripts like what it replaces."""

from __future__ import annotations

import copy
import importlib
import inspect
import json
import pickle
import subprocess
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

DESCRIBE = """
import importlib, inspect, pickle, sys, warnings
import torch
warnings.simplefilter("ignore")

def find(path):
    words = path.split(".")
    for at in range(len(words) - 1, 0, -1):
        try:
            thing = importlib.import_module(".".join(words[:at]))
        except ImportError:
            continue
        for word in words[at:]:
            thing = getattr(thing, word)
        return thing

def signature(thing):
    # torch's own classes in C have none to be read; ours may.
    try:
        return str(inspect.signature(thing)) if not isinstance(thing, type) else ""
    except ValueError:
        return "none"

def describe(thing):
    names = ("__module__", "__qualname__", "__name__", "__doc__", "__self__", "__objclass__")
    kinds = (inspect.isbuiltin, inspect.isfunction, inspect.isclass, inspect.ismethoddescriptor,
             inspect.isroutine, callable)
    return {
        "names": [repr(getattr(thing, name, "absent")).partition(" at 0x")[0] for name in names],
        "signature": signature(thing),
        "kinds": [kind(thing) for kind in kinds],
        "repr": repr(thing).partition(" at 0x")[0],
        "pickles": pickle.loads(pickle.dumps(thing)) == thing,
        "resolve_name": torch.overrides.resolve_name(thing),
        "overridable": thing in torch.overrides.get_testing_overrides(),
        "ignored": thing in torch.overrides.get_ignored_functions(),
    }
"""
SESSION = """
import json, sdbackends
with sdbackends.use("torch", rng="cuda") as session:
    import diffusers, transformers
    own = ("torch.", "diffusers.", "transformers.")
    paths = [name for name in dict.fromkeys(session.patches.changes) if name.startswith(own)]
    # Not a function: the generators that torch makes for the GPUs that it finds.
    paths.remove("torch.cuda.default_generators")
    print(json.dumps({path: describe(find(path)) for path in paths}))
"""
PLAIN = """
import json, diffusers, transformers
print(json.dumps({path: describe(find(path)) for path in json.load(sys.stdin)}))
"""


def described(script: str, folder: Path, given: str = "") -> dict[str, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBE + script],
        input=given,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return told


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_every_replaced_name_is_as_in_plain_torch(tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    laid = described(SESSION, tmp_path)
    plain = described(PLAIN, tmp_path, json.dumps(list(laid)))
    assert len(laid) > 100
    different = {path: (plain[path], told) for path, told in laid.items() if plain[path] != told}
    assert not different, different


def both_kinds(x: torch.Tensor) -> torch.Tensor:
    made = torch.tensor([1.0, 2.0]) + torch.as_tensor([3.0, 4.0]) + torch.zeros(2)
    return (made + x.to(torch.float64)).to(x.device)


def on_a_device(x: torch.Tensor) -> torch.Tensor:
    return x.to(torch.device("cpu")) + torch.ones(2, device=torch.device("cpu"))


def drawn(size: int) -> torch.Tensor:
    return torch.randn(size) * torch.rand(size) + torch.arange(size)


def moved(x: torch.Tensor) -> torch.Tensor:
    return x.cuda() if x.is_cuda else x


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("settings", [{}, {"rng": "cuda"}])
@pytest.mark.parametrize(
    ("function", "given"),
    [
        (both_kinds, torch.ones(2)),
        (on_a_device, torch.ones(2)),
        (drawn, 3),
        (moved, torch.ones(2)),
    ],
)
def test_functions_can_be_scripted(enable: Any, settings: Any, function: Any, given: Any) -> None:
    with enable(**settings):
        inside = torch.jit.script(function)
        assert inside(given).shape == torch.jit.script(function)(given).shape
    assert torch.jit.script(function)(given).shape == inside(given).shape


def takes_a_generator(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randn([2], generator=generator) + x


@pytest.mark.filterwarnings("ignore")
def test_annotations_are_known_to_script(enable: Any) -> None:
    enable()
    scripted = torch.jit.script(takes_a_generator)
    assert scripted(torch.ones(2), torch.Generator("cuda")).shape == (2,)


@pytest.mark.filterwarnings("ignore")
def test_functions_can_be_traced_and_exported(enable: Any) -> None:
    class Model(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return both_kinds(x)

    enable()
    x = torch.ones(2)
    expected = both_kinds(x)
    assert torch.equal(torch.jit.trace(both_kinds, x)(x), expected)
    program = torch.export.export(Model(), (x,))
    assert torch.equal(program.module()(x), expected)
    assert "sdbackends" not in str(program.graph)
    graph = torch.fx.symbolic_trace(Model())
    assert torch.equal(graph(x), expected) and "sdbackends" not in graph.code


def test_functions_in_tables_of_a_script(enable: Any) -> None:
    real = {torch.tensor: 1, torch.Tensor.to: 2, torch.Generator: 3}
    enable(rng="cuda")
    assert [real[thing] for thing in (torch.tensor, torch.Tensor.to, torch.Generator)] == [1, 2, 3]
    assert torch.zeros == torch.zeros and torch.zeros != torch.ones
    assert isinstance(torch.tensor, types.BuiltinFunctionType) and inspect.isbuiltin(torch.randn)
    assert isinstance(torch.Tensor.to, types.MethodDescriptorType)
    for thing in (torch.tensor, torch.Tensor.to, torch.Generator, torch.load, torch.cuda.seed):
        assert copy.deepcopy(thing) is thing and copy.copy(thing) is thing
        assert pickle.loads(pickle.dumps(thing)) is thing


def test_a_function_of_torch_is_no_method_of_a_class_that_holds_it(enable: Any) -> None:
    enable()

    class Holder:
        make = torch.zeros

    assert Holder().make(2).tolist() == [0, 0]


def test_pickles_are_readable_without_sdbackends(enable: Any) -> None:
    enable()
    things = [torch.tensor, torch.Tensor.to, torch.Generator, torch.cuda.empty_cache, torch.load]
    things += [torch.Generator("cuda").manual_seed(3), torch.device("cuda"), torch.cuda.Event]
    data = pickle.dumps(things)
    assert b"sdbackends" not in data


class Watched(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        seen.append(func)
        return super().__torch_function__(func, kinds, args, kwargs or {})


seen: list[Any] = []


def test_subclasses_see_torchs_own_functions(enable: Any) -> None:
    enable()
    seen.clear()
    moved = torch.ones(2).as_subclass(Watched).to("cuda", torch.float64)
    assert isinstance(moved, Watched) and torch.Tensor.to in seen


def test_generators_are_of_torchs_class(enable: Any) -> None:
    real = torch.Generator
    enable()

    class Own(torch.Generator):
        pass

    own, plain = Own("cuda"), torch.Generator("cuda")
    assert type(own) is Own and isinstance(own, Own) and isinstance(own, torch.Generator)
    assert {torch.Generator: 1}[real] == 1 and type(plain) is real and not isinstance(plain, Own)
    assert issubclass(Own, torch.Generator) and issubclass(torch.Generator, real)
    assert torch.randn(2, generator=own).shape == (2,)


def test_warnings_are_as_many_as_without(enable: Any) -> None:
    enable()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.tensor(torch.ones(2))
    assert [each.category for each in caught] == [UserWarning]


def test_modules_that_are_looked_up_by_name(enable: Any) -> None:
    enable()
    for name in ("torch.cuda.memory", "torch.cuda.random", "torch.cuda.streams"):
        module = importlib.import_module(name)
        for shared in {"empty_cache", "manual_seed", "Event"} & set(vars(module)):
            assert getattr(module, shared) is getattr(torch.cuda, shared)
