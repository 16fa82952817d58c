"""People painted by a script on the page: the map that arrives is what was painted, and the picture is its."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groupdnet_hub import GroupDNetPipeline
from tests.browser.conftest import serve
from tests.browser.painted_people import HEIGHT, PEOPLE, SHAPES, WIDTH, paint_people
from tests.helpers.page_models import MORE_LABELS, page_model, save_examples

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_two_people_arrive_as_they_are_painted(browser: Any, tmp_path: Path) -> None:
    page_model(MORE_LABELS, (HEIGHT, WIDTH)).save_pretrained(tmp_path / "model")
    save_examples(tmp_path / "maps", MORE_LABELS, (HEIGHT, WIDTH))
    pipe = GroupDNetPipeline.from_pretrained(tmp_path / "model")
    chosen = [PEOPLE[1], PEOPLE[9]]
    with serve(tmp_path / "model", tmp_path / "maps", tmp_path) as (address, _):
        drawn = list(paint_people(browser, address, MORE_LABELS, chosen, [4]))
    for person, (label, (picture,)) in zip(chosen, drawn, strict=True):
        assert label.shape == (HEIGHT, WIDTH)
        painted = {MORE_LABELS.names[class_id] for class_id in np.unique(label)}
        assert painted == {"background", *(class_ for _, class_ in person)}
        # Of the last shape nothing is painted over: the middle of its strokes has its class.
        shape, class_ = person[-1]
        for _, points in SHAPES[shape]:
            x, y = points[0]
            assert MORE_LABELS.names[label[y, x]] == class_
        expected = np.asarray(pipe.sample(label, seed=4).image).astype(int)
        np.testing.assert_allclose(picture, expected, atol=1)


def test_every_class_is_painted_on_somebody() -> None:
    assert {class_ for person in PEOPLE for _, class_ in person} == set(MORE_LABELS.names) - {"background"}
    assert len(PEOPLE) == 12
