"""The Ray cluster: reached by its address, seen as nodes with so many CPUs and GPUs.

In comes what the person wrote after `--ray`, out comes a connection, or a refusal that says how a
cluster is started. Ray itself is imported here for the first time, and only when it is asked for.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sdbackends.catalog.requirements import importable, pip_install
from sdbackends.errors import SdError, UsageError

#: How Ray names the resource that says which accelerator a node has.
_TYPE = "accelerator_type:"
_CONNECT_SECONDS = 5.0
_START = "start one with `ray start --head` here, and `ray start --address=HOST:6379` on each node"


@dataclass(frozen=True)
class ClusterNode:
    """A machine of the cluster. `label` is for the person who looks on; it gets into no file."""

    id: str
    label: str
    cpus: float
    gpus: float
    accelerators: frozenset[str]

    def fits(self, *, gpu: bool, accelerator: str | None) -> bool:
        """Whether a cell could run here if nothing else did."""
        if self.cpus < 1 or (gpu and self.gpus < 1):
            return False
        return accelerator is None or accelerator in self.accelerators


def check(address: str) -> None:
    """Nothing, when something answers there: Ray would try for more than a minute.

    Raises:
        UsageError: nothing does, or it is no address.
        SdError: Ray is not installed.
    """
    if not importable("ray"):
        raise SdError("Ray is not installed", fix=pip_install("sdbackends[ray]"))
    if address == "auto":
        return
    if address.startswith("ray://"):
        raise UsageError(
            "the matrix does not run through Ray's client",
            where=address,
            why="the command has to be on a machine of the cluster",
            fix="run it there, with --ray auto",
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"{address!r} is no address", where="--ray", fix="auto, or HOST:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError("no Ray cluster answers", where=address, why=why, fix=_START) from None


@contextlib.contextmanager
def connected(address: str, runtime_env: Mapping[str, Any]) -> Iterator[None]:
    """Be the driver of a job on the cluster at `address`: "auto", or HOST:PORT.

    Raises:
        UsageError: it is no cluster that this process can join.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    try:
        ray.init(
            address=address,
            runtime_env=dict(runtime_env),
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError, SystemExit) as error:
        why = (str(error).strip().splitlines() or ["it does not answer as Ray does"])[0]
        raise UsageError(
            "this Ray cluster cannot be joined", where=address, why=why, fix=_START
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def nodes() -> dict[str, ClusterNode]:
    """The nodes that are alive, by id."""
    import ray

    listed: Callable[[], list[dict[str, Any]]] = ray.nodes
    alive = sorted((node for node in listed() if node["Alive"]), key=lambda node: node["NodeID"])
    # Several nodes may share a machine: tests do, and so do containers.
    names = [node["NodeManagerAddress"] for node in alive]
    found = {}
    for place, node in enumerate(alive):
        has, name = node["Resources"], names[place]
        types = frozenset(key.removeprefix(_TYPE) for key in has if key.startswith(_TYPE))
        number = f"#{names[:place].count(name) + 1}" if names.count(name) > 1 else ""
        label = " ".join([f"{name}{number}", *sorted(types)])
        found[node["NodeID"]] = ClusterNode(
            node["NodeID"], label, has.get("CPU", 0), has.get("GPU", 0), types
        )
    return found


def device() -> Literal["cpu", "cuda"]:
    """What `auto` means on the cluster: the GPUs, where a node has any."""
    return "cuda" if any(node.gpus >= 1 for node in nodes().values()) else "cpu"


def check_accelerators(wanted: tuple[str, ...]) -> None:
    """Nothing, when the cluster has each of them.

    Raises:
        UsageError: it does not; the message lists those that it has.
    """
    here = {one for node in nodes().values() if node.gpus >= 1 for one in node.accelerators}
    if lacking := [one for one in wanted if one not in here]:
        raise UsageError(
            f"the cluster has no {', '.join(lacking)}",
            where="--accelerator",
            why=f"Ray knows these accelerators there: {', '.join(sorted(here)) or 'none'}",
            fix="name one of them as Ray does; `ray status` lists them as accelerator_type",
        )


def start(
    function: Callable[..., object], *arguments: object, options: Mapping[str, Any], gpu: bool
) -> Any:
    """Hand `function(*arguments, gpu=gpu)` to Ray: what `word` and `ray.get` take.

    A task that is lost is not begun anew by Ray: who counts the losses does that.
    """
    import ray

    remote: Any = ray.remote  # its overloads know of no keyword arguments
    return remote(function).options(max_retries=0, **options).remote(*arguments, gpu=gpu)


def word(said: Any) -> Any:
    """The next word of a task that says several, which `ray.wait` found ready.

    Raises:
        RayError: it failed.
    """
    import ray

    try:
        return ray.get(next(said))
    except StopIteration:
        raise ray.exceptions.TaskCancelledError(error_message="it ended without a word") from None


def on(node: ClusterNode) -> dict[str, Any]:
    """The options that bind a task to the node: it runs there or fails."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node.id, soft=False)}
