"""Every scheduler draws torch's picture on every engine."""

from __future__ import annotations

import pytest
import torch

from tests.conformance.families.cases import schedulers
from tests.conformance.families.catalog import FAMILIES
from tests.conformance.families.conftest import of


@pytest.mark.parametrize("case", of(schedulers))
def test_schedulers(case, backend, support) -> None:
    support(case, backend)


def test_the_list_of_no_cases_names_schedulers_of_diffusers() -> None:
    assert schedulers.NO_CASE.keys() <= schedulers.everything().keys()


@pytest.mark.parametrize("name", sorted(schedulers.NO_CASE))
def test_what_is_no_case_fails_in_plain_torch(name: str) -> None:
    sd15 = FAMILIES["sd15"]
    pipe = sd15.build()
    pipe.set_progress_bar_config(disable=True)
    with pytest.raises(Exception), torch.no_grad():  # noqa: B017, PT011  (each in its way)
        schedulers.drawn_with(pipe, dict(sd15.call), name, {})
