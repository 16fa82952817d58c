"""That a wished colour is granted by the nearest of the codes that a model's prior draws."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from page.core.fixed_classes import indistinguishable
from page.core.memory.packed_looks import packed
from page.core.redraw.colour_wish import ColourWishes, Granted, Progress, prior_codes
from page.core.redraw.colours import lab, mean_colour, read_colour, written
from page.core.session import ShelfItem
from PIL import Image

from groupdnet_hub import GroupDNetPipeline, Look
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.models.prior import EmpiricalPrior
from tests.helpers.page_models import page_model

TOP = FIGURE_LABELS.id_of("top-clothes")
SIZE = (64, 64)
STORED = 40


@pytest.fixture(scope="module")
def pipeline() -> GroupDNetPipeline:
    """Return a model whose prior stores 40 codes of each class, but none of shoes."""
    model = page_model(size=SIZE)
    prior = EmpiricalPrior(model.config.code_shape, STORED)
    draw = torch.Generator().manual_seed(3)
    prior.mean.copy_(torch.randn(prior.mean.shape, generator=draw))
    prior.std.fill_(0.01)
    prior.count.fill_(STORED)
    prior.count[FIGURE_LABELS.id_of("shoes")] = 0
    model.prior = prior
    return GroupDNetPipeline(model)


@pytest.fixture(scope="module")
def look(pipeline: GroupDNetPipeline, examples: Path) -> Look:
    return pipeline.sample(examples / "example_01.png", seed=3)


class Calls:
    """What a studio's ``run`` is asked for."""

    def __init__(self, pipeline: GroupDNetPipeline) -> None:
        self.pipeline = pipeline
        self.drawn: list[int] = []

    def __call__(self, action: Callable[..., Any], *arguments: Any) -> Any:
        answer = action(self.pipeline, *arguments)
        if action is not prior_codes:
            self.drawn.append(len(answer))
        return answer


def granted(wishes: ColourWishes, look: Look, colour: str) -> tuple[list[Progress], Granted]:
    *progress, last = wishes.grant(look, "top-clothes", colour, False)
    assert isinstance(last, Granted)
    assert all(isinstance(one, Progress) for one in progress)
    return progress, last  # type: ignore[return-value]


def distance(look: Look, colour: str) -> float:
    seen = mean_colour(look.image, look.mask == TOP)
    return float(np.linalg.norm(lab(seen) - lab(read_colour(colour))))


@pytest.mark.parametrize(
    ("rgb", "expected"),  # of the CIE's formulas, as colour tables print them
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((119, 119, 119), (50.03, 0, 0)),
    ],
)
def test_lab(rgb: tuple[int, ...], expected: tuple[float, ...]) -> None:
    assert lab(np.array(rgb)) == pytest.approx(np.array(expected), abs=0.02)


def test_colours_are_read_and_written() -> None:
    for text in ("#3366cc", "#000000", "#ffffff"):
        assert written(read_colour(text)) == text
    assert written(np.array([50.6, 0.2, 255.0])) == "#3300ff"
    picture = Image.new("RGB", (4, 2), (10, 20, 30))
    picture.putpixel((0, 0), (250, 0, 0))
    region = np.zeros((2, 4), bool)
    region[0, :2] = True
    assert mean_colour(picture, region) == pytest.approx([130, 10, 15])


@pytest.mark.parametrize(
    "colour", ["", "blue", "#36c", "#3366cg", "3366cc", "#3366cc ", None, 7, ["#3366cc"]]
)
def test_other_colours_are_refused(pipeline: GroupDNetPipeline, look: Look, colour: Any) -> None:
    wishes = ColourWishes(Calls(pipeline), list)
    with pytest.raises(ValueError, match="six hexadecimal digits"):
        next(iter(wishes.grant(look, "top-clothes", colour, False)))


@pytest.mark.parametrize("colour", ["#3366cc", "#b3262e", "#f2f2f0", "#101010"])
def test_the_candidates_are_the_nearest_that_the_prior_draws(
    pipeline: GroupDNetPipeline, look: Look, colour: str
) -> None:
    wishes = ColourWishes(Calls(pipeline), lambda: [ShelfItem("example 1", packed(look))])
    _, last = granted(wishes, look, colour)
    seeds, codes = prior_codes(pipeline, TOP)
    assert len(seeds) == len({tuple(code.tolist()) for code in codes}) == STORED
    everything = [pipeline.reroll(look, "top-clothes", seed) for seed in seeds]
    distances = sorted(distance(one, colour) for one in everything)
    ours = [distance(one, colour) for one in last.looks]
    assert ours == sorted(ours)
    assert ours[0] == pytest.approx(distances[0])
    assert last.nearest == written(mean_colour(last.looks[0].image, look.mask == TOP))
    assert ours[-1] <= distances[7]  # the nearest four, but for those that nobody could tell apart
    region = look.mask == TOP
    assert not any(
        indistinguishable([one.image, other.image], region)
        for i, one in enumerate(last.looks)
        for other in last.looks[:i]
    )
    for one in last.looks:  # a program gets it by its seed
        assert one.seed in seeds
        assert np.array_equal(
            np.asarray(one.image), np.asarray(pipeline.reroll(look, "top-clothes", one.seed).image)
        )


def test_what_was_drawn_is_remembered_and_drawn_in_pieces(pipeline: GroupDNetPipeline, look: Look) -> None:
    calls = Calls(pipeline)
    wishes = ColourWishes(calls, lambda: [ShelfItem("example 1", packed(look))])
    progress, first = granted(wishes, look, "#3366cc")
    before = sum(calls.drawn)
    assert max(calls.drawn) <= 3
    assert [one.drawn for one in progress] == np.cumsum(calls.drawn).tolist()
    assert all(one.drawn <= one.most for one in progress)
    assert progress[-1].drawn == progress[-1].most
    _, again = granted(wishes, look, "#3366cc")
    assert sum(calls.drawn) - before == 8  # on the visitor's picture alone
    assert [one.seed for one in again.looks] == [one.seed for one in first.looks]


def test_what_is_seen_on_a_visitors_own_map_is_not_remembered(
    pipeline: GroupDNetPipeline, look: Look
) -> None:
    """It may show a speck of the class, from which nobody else's wish should be granted."""
    calls = Calls(pipeline)
    wishes = ColourWishes(calls, list)
    granted(wishes, look, "#3366cc")
    before = sum(calls.drawn)
    granted(wishes, look, "#3366cc")
    assert sum(calls.drawn) == 2 * before


def test_a_prior_that_stores_no_codes_is_asked_for_a_number_of_them(examples: Path) -> None:
    pipeline = GroupDNetPipeline(page_model(size=SIZE))
    look = pipeline.sample(examples / "example_01.png", seed=3)
    seeds, codes = prior_codes(pipeline, TOP)
    assert seeds == list(range(512))
    assert torch.equal(codes[7], pipeline.reroll(look, "top-clothes", 7).codes.pick("top-clothes").flatten())
    _, last = granted(ColourWishes(Calls(pipeline), list), look, "#3366cc")
    some = sorted(distance(pipeline.reroll(look, "top-clothes", seed), "#3366cc") for seed in range(100))
    assert distance(last.looks[0], "#3366cc") < some[5]  # though about 50 of 512 were drawn


def test_a_class_without_stored_codes_has_others(pipeline: GroupDNetPipeline) -> None:
    seeds, codes = prior_codes(pipeline, FIGURE_LABELS.id_of("shoes"))
    assert len(seeds) == 512
    assert len(torch.unique(codes, dim=0)) == 512


def test_a_prior_tells_which_stored_code_a_seed_draws(pipeline: GroupDNetPipeline) -> None:
    prior = pipeline.model.prior
    for seed in range(20):
        chosen = prior.chosen(2, generator=torch.Generator().manual_seed(seed))
        codes = prior.sample(2, generator=torch.Generator().manual_seed(seed)).flatten(2)
        assert chosen is not None
        for row in range(2):
            place = int(chosen[row, TOP])
            assert torch.allclose(codes[row, TOP], prior.mean[TOP, place], atol=0.1)
        assert (chosen[:, FIGURE_LABELS.id_of("shoes")] == -1).all()
