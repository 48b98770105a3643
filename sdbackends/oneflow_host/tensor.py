"""Methods and properties of `torch.Tensor` that OneFlow's lack or take otherwise."""

from __future__ import annotations

from typing import Any

import oneflow as flow

from sdbackends.oneflow_host.creation import INERT
from sdbackends.oneflow_host.devices import as_device, placed
from sdbackends.oneflow_host.dtypes import MemoryFormat, strided, usable
from sdbackends.oneflow_host.registry import TENSOR, tensor_method

_to = flow.Tensor.to


@tensor_method("to")
def to(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Any of torch's forms: a device, a dtype, both, another tensor; by position or by name."""
    given = [value for name, value in kwargs.items() if name not in (*INERT, "copy")]
    copy = kwargs.get("copy") or (len(args) > 3 and args[3])
    result = self
    for what in (*args, *given):
        if what is None or isinstance(what, (bool, MemoryFormat)):
            continue
        if isinstance(what, flow.Tensor):
            result = _to(_to(result, what.device), what.dtype)
        elif isinstance(what, flow.dtype):
            result = _to(result, usable(what))
        elif (where := placed(what)) is not None:
            result = _to(result, where)
    return result.clone() if copy and result is self else result


@tensor_method("half")
def half(self: Any, memory_format: Any = None) -> Any:
    return to(self, flow.float16)


@tensor_method("bfloat16")
def bfloat16(self: Any, memory_format: Any = None) -> Any:
    return to(self, flow.bfloat16)


@tensor_method("cuda")
def cuda(self: Any, device: Any = None, non_blocking: bool = False) -> Any:
    return to(self, as_device("cuda" if device is None else device))


def _without_memory_format(name: str) -> None:
    real = getattr(flow.Tensor, name)

    @tensor_method(name)
    def method(self: Any, *args: Any, memory_format: Any = None, **kwargs: Any) -> Any:
        return real(self, *args, **kwargs)

    method.__name__ = name


for _name in ("contiguous", "clone", "float"):
    _without_memory_format(_name)

# What no tensor of OneFlow is.
for _name in ("is_sparse", "is_quantized", "is_meta", "is_mps", "is_xpu", "is_nested"):
    TENSOR[_name] = property(lambda self: False)
TENSOR["layout"] = property(lambda self: strided)
TENSOR["mT"] = property(lambda self: self.transpose(-1, -2))
TENSOR["itemsize"] = property(lambda self: self.element_size())
TENSOR["nbytes"] = property(lambda self: self.numel() * self.element_size())


@tensor_method("is_complex", "is_shared", "is_inference", "is_conj", "is_neg")
def _no(self: Any) -> bool:
    return False


@tensor_method("baddbmm")
def baddbmm(self: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    return flow.baddbmm(self, batch1, batch2, beta=beta, alpha=alpha)


@tensor_method("tensor_split")
def tensor_split(self: Any, indices_or_sections: Any, dim: int = 0) -> Any:
    return flow.tensor_split(self, indices_or_sections, dim)


@tensor_method("movedim")
def movedim(self: Any, source: Any, destination: Any) -> Any:
    return flow.movedim(self, source, destination)


@tensor_method("__deepcopy__")
def deepcopy(self: Any, memo: dict[int, Any]) -> Any:
    if id(self) not in memo:
        copied = self.detach().clone()
        if isinstance(self, flow.nn.Parameter):
            copied = flow.nn.Parameter(copied, self.requires_grad)
        memo[id(self)] = copied
    return memo[id(self)]
