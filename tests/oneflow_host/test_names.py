"""What a script sees of torch's names: honest answers, and an error at use that says the name."""

from __future__ import annotations

import json

from tests.oneflow_host.conftest import Host

THERE = (
    "torch.compile",
    "torch.nn.functional.scaled_dot_product_attention",
    "torch.nn.functional.group_norm",
    "torch.distributed",
    "torch.compiler",
    "torch.library.custom_op",
    "torch.Generator",
    "torch.cuda.is_available",
    "torch.backends.mps.is_available",
    "torch.Tensor.unflatten",
    "torch.nn.Module.get_submodule",
)
MISSING = (
    "torch.xpu",
    "torch.mps",
    "torch.npu",
    "torch.fft",
    "torch.fx",
    "torch.float8_e4m3fn",
    "torch.complex64",
    "torch.vmap",
    "torch.load",
    "torch.hub",
    "torch.os",
    "torch.sbp",
    "torch.distributed.tensor",
    "torch.nn.attention.flex_attention",
    "torch.autograd.graph.save_on_cpu",
    "torch.Tensor.no_such",
)

PROBE = """
import functools, json, sys
import torch, torch.nn.functional, torch.autograd.graph
if "libraries" in sys.argv:
    import diffusers, transformers
    from diffusers import StableDiffusionPipeline

def probe(dotted):
    *path, last = dotted.split(".")[1:]
    owner = functools.reduce(lambda o, n: getattr(o, n, None), path, torch)
    return hasattr(owner, last), getattr(owner, last, None) is not None

print(json.dumps({name: probe(name) for name in json.loads(sys.argv[1])}))
"""


def test_questions_are_answered_honestly(host: Host) -> None:
    names = json.dumps([*THERE, *MISSING])
    expected = {**{n: [True, True] for n in THERE}, **{n: [False, False] for n in MISSING}}
    assert json.loads(host.says(PROBE, names)[-1]) == expected
    # No library makes a missing name appear by importing it.
    assert json.loads(host.says(PROBE, names, "libraries")[-1]) == expected


def test_the_oracle_agrees(host: Host) -> None:
    script = """
    import json, sys
    from sdbackends.oneflow_host.names import lacking
    print(json.dumps({name: lacking(name) for name in json.loads(sys.argv[1])}))
    """
    answers = json.loads(host.says(script, json.dumps([*THERE, *MISSING]))[-1])
    assert [name for name in THERE if answers[name] is not None] == []
    assert [name for name in MISSING if not answers[name]] == []


def test_a_mention_is_not_a_use(host: Host) -> None:
    script = """
    import dataclasses
    from typing import Optional
    import torch

    def one(x: torch.fft.Plan, kind=torch.float8_e4m3fn) -> Optional[torch.SymInt]: ...
    def two(x: torch.DTensor | None, y: list[torch.Y], z: "torch.Z" = None): ...

    @torch.no_such.mark
    def three(): ...

    class Four(torch.no_such.Base): ...

    @dataclasses.dataclass
    class Five:
        x: torch.X = torch.y

    print(isinstance(1, torch.fx.Proxy), isinstance(1, (str, torch.fx.Proxy, int)))
    print(torch.float32 == torch.float8_e4m3fn, torch.float8_e5m2 in (torch.int8,))
    print(torch.fft.fftn)

    def use_bool(): return bool(torch.float8_e4m3fn)
    def use_call(): torch.fft.fftn(1)
    for use in (use_call, use_bool, three, Four):
        try:
            use()
        except AttributeError as error:
            print(str(error).splitlines()[0])
    """
    assert host.says(script) == [
        "False True",
        "False False",
        "<torch.fft.fftn, which is not there on the OneFlow host>",
        "torch.fft.fftn is not there on the OneFlow host",
        "torch.float8_e4m3fn is not there on the OneFlow host",
        "torch.no_such.mark is not there on the OneFlow host",
        "torch.no_such.Base is not there on the OneFlow host",
    ]


def test_imports_of_what_is_missing_fail_as_imports_do(host: Host) -> None:
    script = """
    import importlib.util
    for line in ("from torch import xpu", "import torch.xpu", "from torch.nn import NoSuch",
                 "import torch.distributed.tensor"):
        try:
            exec(line)
        except ImportError as error:
            print(type(error).__name__)
    print(importlib.util.find_spec("torch.xpu"))
    """
    errors = ["ImportError", "ModuleNotFoundError", "ImportError", "ModuleNotFoundError"]
    assert host.says(script) == [*errors, "None"]


def test_torch_is_installed_in_the_eyes_of_libraries(host: Host) -> None:
    script = """
    import importlib.metadata, importlib.util, sys
    print(importlib.util.find_spec("torch") is not None, importlib.metadata.version("torch"))
    print(importlib.metadata.packages_distributions()["torch"], "oneflow" in sys.modules)
    import torch
    print(torch.__version__, torch.__version__ >= "2.1", torch.nn.Linear.__module__[:7])
    """
    assert host.says(script) == ["True 2.6.0", "['torch'] False", "2.6.0 True oneflow"]
