"""Why a name of torch is not there on the OneFlow host, in words a person can use."""

from __future__ import annotations

#: OneFlow has something of this name that is not what torch means by it.
WITHHELD: dict[str, str] = {
    "torch.load": "OneFlow reads only its own files, not torch's pickles; use safetensors files",
    "torch.save": "OneFlow writes only its own files, not torch's; use safetensors files",
    "torch.hub": "torch.hub brings repositories written for torch",
}

#: Whole regions that OneFlow lacks; the longest that fits is the reason.
_REGIONS: dict[str, str] = {
    "torch.fft": "OneFlow has no Fourier transforms",
    "torch.fx": "OneFlow has no fx",
    "torch.export": "OneFlow has no torch.export",
    "torch.onnx": "OneFlow has no torch.onnx",
    "torch.sparse": "OneFlow has no sparse tensors",
    "torch.special": "OneFlow has no torch.special",
    "torch.func": "OneFlow has no torch.func",
    "torch.vmap": "OneFlow has no torch.func",
    "torch._dynamo": "OneFlow has no Dynamo",
    "torch._inductor": "OneFlow has no inductor",
    "torch._C": "these are torch's internals",
    "torch.ao": "OneFlow has no quantization of torch's kind",
    "torch.quantization": "OneFlow has no quantization of torch's kind",
    "torch.xpu": "OneFlow runs on CPU and CUDA alone",
    "torch.mps": "OneFlow runs on CPU and CUDA alone",
    "torch.npu": "OneFlow runs on CPU and CUDA alone",
    "torch.mlu": "OneFlow runs on CPU and CUDA alone",
    "torch.musa": "OneFlow runs on CPU and CUDA alone",
    "torch.distributed": "the host runs in one process: torch.distributed is not there",
    "torch.float8": "OneFlow has no 8 bit floating point",
    "torch.float4": "OneFlow has no 4 bit floating point",
    "torch.complex": "OneFlow has no complex numbers",
    "torch.uint16": "OneFlow has no unsigned integers but uint8",
    "torch.uint32": "OneFlow has no unsigned integers but uint8",
    "torch.uint64": "OneFlow has no unsigned integers but uint8",
    "torch.nn.attention.flex_attention": "OneFlow has no flex attention",
}


def reason(dotted: str) -> str:
    """Why `dotted` is missing."""
    if dotted in WITHHELD:
        return WITHHELD[dotted]
    regions = [region for region in _REGIONS if dotted.startswith(region)]
    if regions:
        return _REGIONS[max(regions, key=len)]
    return f"OneFlow has no {dotted.partition('.')[2]}, and nothing stands in for it"
