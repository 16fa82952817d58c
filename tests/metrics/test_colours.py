"""Tone and chroma on pictures of known colours."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from groupdnet_hub.metrics import measure_chroma, measure_tone, summarise_chroma, summarise_tone
from groupdnet_hub.metrics.colours import to_lab
from tests.helpers.drawn_people import FACE, SKIN, TOP, figure, painted


@pytest.mark.parametrize(
    ("colour", "lab"),
    [
        ((1.0, 1.0, 1.0), (100, 0, 0)),
        ((0.0, 0.0, 0.0), (0, 0, 0)),
        ((1.0, 0.0, 0.0), (53.24, 80.09, 67.20)),
        ((0.0, 0.0, 1.0), (32.30, 79.19, -107.86)),
        ((0.02, 0.02, 0.02), (1.40, 0, 0)),
    ],
)
def test_lab_is_that_of_the_tables(colour: tuple[float, ...], lab: tuple[float, ...]) -> None:
    found = to_lab(torch.tensor([colour], dtype=torch.float64))[0].tolist()
    assert found == pytest.approx(lab, abs=0.1)


def test_faces_exchanged_between_photos_do_not_fit_their_skin() -> None:
    tones = [(230, 190, 170), (120, 80, 60), (200, 150, 120), (70, 50, 40)]
    label = figure()
    photos = [painted({FACE: tone, SKIN: tuple(part - 6 for part in tone)}) for tone in tones]
    exchanged = [
        torch.where(label == FACE, photos[(i + 1) % 4], photo)[None] for i, photo in enumerate(photos)
    ]

    def tone(pictures: list[torch.Tensor]):
        rows = [
            measure_tone(drawn, photo, label, (FACE, SKIN))
            for drawn, photo in zip(pictures, photos, strict=True)
        ]
        return summarise_tone(np.stack(rows))

    assert tone([photo[None] for photo in photos]).ratio.value == pytest.approx(1)
    found = tone(exchanged)
    assert found.ratio.value > 5
    assert found.pictures.value / found.photos.value == pytest.approx(found.ratio.value)
    absent = measure_tone(exchanged[0], photos[0], label * (label != SKIN), (FACE, SKIN))
    assert np.isnan(absent).all()
    with pytest.raises(ValueError, match="both face and skin"):
        summarise_tone(absent[None])


def test_grey_garments_have_no_chroma_and_clear_ones_have() -> None:
    label = figure()
    grey, red, dull = (painted({TOP: colour}) for colour in ((99, 99, 99), (200, 30, 30), (120, 90, 80)))
    rows = [
        measure_chroma(torch.stack([grey, grey]), red, label, [TOP, FACE]),
        measure_chroma(torch.stack([grey, red]), dull, label, [TOP]),
        measure_chroma(torch.stack([red, red]), red, torch.zeros_like(label), [TOP]),
    ]
    assert rows[0].tolist() == [0, 1, 2]
    found = summarise_chroma(np.stack(rows))
    assert found.garments == 3
    assert found.pictures.value == pytest.approx(0.5 / 3)
    assert found.photos.value == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="name others"):
        summarise_chroma(rows[2][None])
