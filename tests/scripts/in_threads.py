"""Work done in several threads at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


def at_once(count: int, work: Callable[[int], Any], limit_s: float | None = None) -> list[Any]:
    """What `work(0)`, `work(1)`, … give or raise, begun at the same moment, each in a thread.

    Raises:
        TimeoutError: a thread is still at work after `limit_s` seconds.
    """
    barrier, results = threading.Barrier(count), [None] * count

    def go(number: int) -> None:
        barrier.wait()
        try:
            results[number] = work(number)
        except BaseException as error:
            results[number] = error

    threads = [threading.Thread(target=go, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    for number, thread in enumerate(threads):
        thread.join(limit_s)
        if thread.is_alive():
            raise TimeoutError(f"thread {number} is still at work after {limit_s} s")
    return results
