"""The same picture on every engine: embedded models, fp32, 20 steps, against torch eager."""

from __future__ import annotations

import numpy as np
import pytest

from tests.agreement.conftest import PROMPTS, SCHEDULERS


@pytest.mark.parametrize("model", PROMPTS)
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_picture_is_within_2_of_255_and_models_within_1e_4(
    on_engine, embedded, scheduler, model, record_property
):
    picture = embedded.picture(model, scheduler)
    gap = int(np.abs(picture.astype(int) - embedded.reference[model, scheduler]).max())
    record_property("largest difference of 255", gap)
    assert picture.std() > 10, "a blank picture agrees with nothing"
    assert gap <= 2
    assert len(embedded.figures) >= 3, "text encoder, unet and decoder were compared"
    worst = max(figure.max_rel for figure in embedded.figures.values())
    record_property("worst model, of max", worst)
    assert worst <= 1e-4


def test_the_reference_shows_what_the_prompt_says(embedded):
    """Agreement is about real pictures: torch's own are a red circle on blue.

    With the scheduler that the models are saved with; PNDM overshoots at this guidance
    (pipelines/tiny/README.md), which every engine has to reproduce all the same.
    """
    for model in PROMPTS:
        picture = embedded.reference[model, "ddim"].astype(int)
        red, _, blue = picture[32, 32]
        assert red > 150 > blue, f"{model}: centre {picture[32, 32]}"
        red, _, blue = picture[2, 2]
        assert blue > 150 > red, f"{model}: corner {picture[2, 2]}"
