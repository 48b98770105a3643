"""`PreTrainedModel.from_pretrained` of transformers, without torch's meta device.

transformers makes a model of nothing on the meta device, and then puts each weight in its place
with machinery that is torch's through and through. Here the model is made, its safetensors files
are read, the weights get the names that the library's own tables give them, and are copied in.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import oneflow as flow

from sdbackends.errors import UsageError
from sdbackends.host.patches import Patches
from sdbackends.oneflow_host.creation import from_data
from sdbackends.oneflow_host.safetensors_files import SafetensorsFile

#: Where a file comes from; handed to the hub as they are.
_HUB = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "token")
#: Accepted, and without a meaning on the host: the model is loaded once, whole, into its device.
_WITHOUT_MEANING = (
    "low_cpu_mem_usage", "use_safetensors", "device_map", "max_memory", "offload_folder",
    "offload_state_dict", "weights_only", "trust_remote_code", "adapter_kwargs", "_from_auto",
    "_from_pipeline", "_fast_init", "from_flax", "from_tf", "resume_download", "use_auth_token",
)  # fmt: skip


def apply(modeling_utils: ModuleType, patches: Patches) -> None:
    """Stand in for the library's own until `patches` are undone."""
    patches.set(modeling_utils.PreTrainedModel, "from_pretrained", classmethod(from_pretrained))


def from_pretrained(
    cls: Any,
    /,
    pretrained_model_name_or_path: Any,
    *model_args: Any,
    config: Any = None,
    subfolder: str | None = "",
    variant: str | None = None,
    dtype: Any = None,
    torch_dtype: Any = None,
    state_dict: Mapping[str, Any] | None = None,
    attn_implementation: str | None = None,
    output_loading_info: bool = False,
    ignore_mismatched_sizes: bool = False,
    key_mapping: Mapping[str, str] | None = None,
    **kwargs: Any,
) -> Any:
    """As the library's, for safetensors files in a folder or on the hub.

    Raises:
        UsageError: quantization is asked for.
        OSError: there are no safetensors files.
    """
    if kwargs.get("quantization_config") is not None:
        raise UsageError(
            "quantized models are not there on the OneFlow host",
            where="quantization_config",
            fix="load the model without it",
        )
    hub = {name: kwargs.pop(name) for name in _HUB if kwargs.get(name) is not None}
    hub["subfolder"] = subfolder or ""
    kwargs = {k: v for k, v in kwargs.items() if k not in (*_WITHOUT_MEANING, *_HUB)}
    config, kwargs = _configuration(cls, pretrained_model_name_or_path, config, hub, kwargs)
    if attn_implementation is not None:
        config._attn_implementation = attn_implementation
    model = cls(config, *model_args, **kwargs)
    if state_dict is None:
        files = _files(os.fspath(pretrained_model_name_or_path), variant, hub)
        source: Mapping[str, Any] = _Files(files)
    else:
        source = state_dict
    info = _fill(model, source, key_mapping or {}, ignore_mismatched_sizes)
    if hasattr(model, "tie_weights"):
        model.tie_weights()
    wanted = dtype if dtype is not None else torch_dtype
    if isinstance(wanted, flow.dtype):
        model.to(wanted)
    model.eval()
    return (model, info) if output_loading_info else model


def _configuration(
    cls: Any, path: Any, config: Any, hub: dict[str, Any], kwargs: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """The configuration, and what of `kwargs` is the model's own."""
    if config is not None and not isinstance(config, (str, os.PathLike)):
        return config, kwargs
    found, rest = cls.config_class.from_pretrained(
        path if config is None else config, return_unused_kwargs=True, **hub, **kwargs
    )
    return found, {name: value for name, value in rest.items() if name not in hub}


def _files(path: str, variant: str | None, hub: dict[str, Any]) -> list[str]:
    """The model's safetensors files: one, or those that an index names."""
    from transformers.utils.hub import cached_file

    quiet = {
        "_raise_exceptions_for_gated_repo": False,
        "_raise_exceptions_for_missing_entries": False,
        "_raise_exceptions_for_connection_errors": False,
    }
    stem = f"model.{variant}" if variant else "model"
    one = cached_file(path, f"{stem}.safetensors", **hub, **quiet)
    if one is not None:
        return [one]
    ending = f".index.{variant}.json" if variant else ".index.json"
    index = cached_file(path, f"model.safetensors{ending}", **hub, **quiet)
    if index is None:
        raise OSError(
            f"{path} has no {stem}.safetensors (in {hub['subfolder'] or 'its own folder'}); the "
            "OneFlow host reads safetensors files alone. Fix: on a machine with torch, "
            "model.save_pretrained(folder) writes them"
        )
    named = json.loads(Path(index).read_text("utf-8"))["weight_map"].values()
    found = (cached_file(path, name, **hub) for name in dict.fromkeys(named))
    return [file for file in found if file is not None]


class _Files(Mapping[str, Any]):
    """The arrays of several files by name, each read when asked for."""

    def __init__(self, paths: Iterable[str]) -> None:
        files = [SafetensorsFile(path) for path in paths]
        self._where = {name: file for file in files for name in file.names}

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        return self._where[name].array(name)

    def __iter__(self) -> Any:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)


def _fill(
    model: Any, source: Mapping[str, Any], key_mapping: Mapping[str, str], lenient: bool
) -> dict[str, Any]:
    """Copy the weights in; what comes back is the library's own account of it."""
    targets = model.state_dict()
    renamed = _renaming(model, targets, key_mapping)
    left, unexpected, mismatched = set(targets), [], []
    with flow.no_grad():
        for name in source:
            key = renamed(name)
            if key not in targets:
                unexpected.append(name)
                continue
            value = source[name]
            if tuple(value.shape) != tuple(targets[key].shape):
                mismatched.append((key, tuple(value.shape), tuple(targets[key].shape)))
                continue
            tensor = value if isinstance(value, flow.Tensor) else from_data(value)
            targets[key].copy_(tensor.to(targets[key].dtype))
            left.discard(key)
    if mismatched and not lenient:
        lines = "\n".join(f"{key}: {there} in the file, {here}" for key, there, here in mismatched)
        raise RuntimeError(f"weights of other shapes than {type(model).__name__}'s:\n{lines}")
    missing = _not_ignored(model, left - {key for key, *_ in mismatched})
    if missing:
        import transformers

        transformers.utils.logging.get_logger("transformers.modeling_utils").warning(
            "Some weights of %s were not in the checkpoint: %s", type(model).__name__, missing
        )
    return {
        "missing_keys": missing,
        "unexpected_keys": sorted(unexpected),
        "mismatched_keys": mismatched,
        "error_msgs": [],
    }


def _renaming(model: Any, targets: Mapping[str, Any], key_mapping: Mapping[str, str]) -> Any:
    """From a name in the file to one in the model, by the library's tables and base prefix."""
    patterns = {**(getattr(model, "_checkpoint_conversion_mapping", None) or {}), **key_mapping}
    patterns |= {r"LayerNorm\.gamma$": "LayerNorm.weight", r"LayerNorm\.beta$": "LayerNorm.bias"}
    tables = _tables(model)
    prefix = f"{model.base_model_prefix}." if model.base_model_prefix else ""
    # Checkpoints of a newer transformers than the model's, or an older one, have or lack these.
    prefixes = [p for p in (prefix, "text_model.") if p]

    def renamed(name: str) -> str:
        if name in targets:
            return name
        for pattern, target in patterns.items():
            name = re.sub(pattern, re.sub(r"^\^|\(\?.*\)$", "", target), name)
        for table in tables:
            name = table.rename_source_key(name)[0]
        for p in prefixes:
            for candidate in (name, p + name, name.removeprefix(p)):
                if candidate in targets:
                    return candidate
        return name

    return renamed


def _tables(model: Any) -> list[Any]:
    """transformers 5 keeps renamings in a module of their own."""
    try:
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightRenaming
    except ImportError:
        return []
    return [table for table in get_model_conversion_mapping(model) if type(table) is WeightRenaming]


def _not_ignored(model: Any, names: Iterable[str]) -> list[str]:
    """Less the tied weights, and those that the model's class says may be missing."""
    ignored = [*(getattr(model, "_keys_to_ignore_on_load_missing", None) or ()), "position_ids"]
    tied = getattr(model, "_tied_weights_keys", None) or ()
    return sorted(
        name for name in names if name not in tied and not any(re.search(p, name) for p in ignored)
    )
