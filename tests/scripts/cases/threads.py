"""Models in several threads."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from tests.scripts import in_threads
from tests.scripts.models import X, applying, picture, reading, small, unet
from tests.scripts.registry import case
from tests.scripts.run_cases import said


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What threads gave, or said when they raised: an error itself is not the same twice."""
    results = in_threads.at_once(count, work)
    return [said(one) if isinstance(one, BaseException) else one for one in results]


@case(alone=True, compiled=True)
def first_calls_of_one_model_at_once():
    model = small()
    return at_once(4, lambda number: picture(model))


@case
def first_calls_of_one_model_with_different_sizes():
    model = small()
    return at_once(3, lambda number: picture(model, X.repeat(number + 1, 1, 1, 1)))


@case
def a_model_for_each_thread():
    models = [small() for _ in range(3)]
    with torch.no_grad():
        for number, model in enumerate(models):
            model.conv_in.weight.mul_(1 + number)
    return at_once(3, lambda number: picture(models[number]))


@case
def models_made_in_threads():
    def work(number):
        model = applying(lambda h: h * number)
        with torch.no_grad():
            model.conv.weight.fill_(0.5)
            model.conv.bias.fill_(0.0)
        return picture(model)

    return at_once(3, work)


@case
def models_of_different_kinds_at_once():
    models = [small(), unet(), applying(lambda h: h * 5)]
    return at_once(3, lambda number: [picture(models[number]) for _ in range(3)])


@case
def pool_that_draws_different_sizes():
    model = small()
    inputs = [torch.ones(1 + n % 3, 4, 4 + n % 2, 4) * n for n in range(12)]
    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(lambda x: picture(model, x), inputs))


@case
def thread_after_the_main_one():
    model = small()
    results = [picture(model)]
    results += at_once(2, lambda number: picture(model, X * (2 + number)))
    return [*results, picture(model)]


@case
def gradients_off_in_one_thread_only():
    model = small().requires_grad_(False)

    def work(number):
        before = torch.is_grad_enabled()
        result = picture(model)
        return (before, torch.is_grad_enabled(), result.requires_grad)

    with torch.no_grad():
        return at_once(3, work)


@case
def value_for_each_thread():
    here = threading.local()
    model = reading(lambda: here.value)

    def work(number):
        here.value = float(number + 1)
        return [picture(model) for _ in range(3)]

    return at_once(3, work)


@case
def weights_edited_between_rounds():
    model, rounds = small(), []
    for _ in range(3):
        rounds.append(at_once(2, lambda number: picture(model)))
        with torch.no_grad():
            model.conv_in.weight.mul_(2)
    return rounds


@case
def errors_in_one_thread_only():
    def function(h):
        if h.shape[0] == 2:
            raise ValueError("two are too many")
        return h * 5

    model = applying(function)
    return at_once(4, lambda number: picture(model, X.repeat(1 + number % 2, 1, 1, 1)))


@case
def a_model_inside_another_in_threads():
    inner = small()
    outer = applying(lambda h: inner(h) * 2)
    return at_once(3, lambda number: (picture(outer), picture(inner)))


@case
def threads_of_asyncio():
    model = small()

    async def draw():
        jobs = [asyncio.to_thread(picture, model, X * (n + 1)) for n in range(3)]
        return await asyncio.gather(*jobs)

    first = asyncio.run(draw())
    return (*first, *asyncio.run(draw()))


@case
def background_thread_while_the_script_trains():
    """Gradients in one thread, pictures in another."""
    trained, drawn = small(), small()

    def work(number):
        if number:
            return [picture(drawn, X * (n + 1)) for n in range(3)]
        x = X.clone().requires_grad_()
        trained(x).sum().backward()
        return x.grad

    return at_once(2, work)


@case(alone=True)
def daemon_thread_that_outlives_the_script():
    model, drawn = small(), threading.Event()

    def work():
        while True:
            picture(model)
            drawn.set()
            time.sleep(0.01)

    threading.Thread(target=work, daemon=True).start()
    return drawn.wait(120)
