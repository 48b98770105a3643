"""torch's names of dtypes and OpenVINO's element types."""

from __future__ import annotations

from collections.abc import Mapping

from sdbackends.engines.openvino.runtime import ov

#: torch's name -> OpenVINO's element type. Its CPU computes 64-bit values in 32 bits.
DTYPES: Mapping[str, ov.Type] = {
    "float64": ov.Type.f64,
    "float32": ov.Type.f32,
    "float16": ov.Type.f16,
    "bfloat16": ov.Type.bf16,
    "int64": ov.Type.i64,
    "int32": ov.Type.i32,
    "int16": ov.Type.i16,
    "int8": ov.Type.i8,
    "uint8": ov.Type.u8,
    "bool": ov.Type.boolean,
}
