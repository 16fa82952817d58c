"""Lists of pictures: each as it is alone, in whatever list and batch; in bounded memory; and what lists are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from groupdnet_hub import GroupDNet, GroupDNetConfig, GroupDNetPipeline, LabelSet, Look, Looks

LABELS = LabelSet.from_names(("sky", "house", "road", "car"))
SIZE = (32, 48)


def loud_model(**fields: object) -> GroupDNet:
    """A random network whose codes show: initial weights are small, and the pictures grey."""
    model = GroupDNet(GroupDNetConfig.for_labels(LABELS, image_size=SIZE, width=4, **fields))
    for parameter in model.parameters():
        parameter.data.mul_(8 if parameter.ndim == 4 else 1)
    return model


@pytest.fixture(scope="module")
def pipe() -> GroupDNetPipeline:
    return GroupDNetPipeline(loud_model())


def mask_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, (8, 12)).repeat(4, 0).repeat(4, 1)


MASKS = [mask_of(seed) for seed in range(5)]


def pixels(look: Look) -> np.ndarray:
    return np.asarray(look.image).astype(int)


def same(one: Look, other: Look) -> bool:
    return (
        np.array_equal(pixels(one), pixels(other))
        and torch.equal(one.codes.tensor, other.codes.tensor)
        and np.array_equal(one.mask, other.mask)
        and one.seed == other.seed
    )


def test_each_picture_of_a_list_is_that_of_its_own(pipe: GroupDNetPipeline) -> None:
    alone = [pipe.sample(mask, seed=seed) for seed, mask in enumerate(MASKS)]
    together = pipe.sample(MASKS, seed=range(5))
    assert isinstance(together, Looks)
    assert len(together) == 5
    assert all(map(same, together, alone))
    turned = pipe.sample(tuple(MASKS[::-1]), seed=np.arange(5)[::-1])
    assert all(map(same, turned, alone[::-1]))
    assert all(map(same, pipe.stream(iter(MASKS), seed=[0, 1, 2, 3, 4]), alone))
    assert all(map(same, pipe(MASKS, seed=range(5)), alone))


def test_what_is_no_list_is_for_all(pipe: GroupDNetPipeline) -> None:
    for seed, look in zip((3, 5), pipe.sample(MASKS[0], seed=[3, 5]), strict=True):
        assert same(look, pipe.sample(MASKS[0], seed=seed))
    for mask, look in zip(MASKS, pipe.sample(MASKS, seed=3), strict=True):
        assert same(look, pipe.sample(mask, seed=3))
    drawn = pipe.sample([MASKS[0]] * 3)
    assert len({look.seed for look in drawn}) == 3
    assert drawn[0].mask is drawn[2].mask  # read once, held once


def test_lists_of_none_and_one(pipe: GroupDNetPipeline) -> None:
    assert pipe.sample([]) == pipe.sample([], seed=[]) == pipe.sample(MASKS[0], seed=[]) == []
    assert isinstance(pipe.sample([]), Looks)
    assert list(pipe.stream([])) == []
    assert isinstance(pipe.sample(MASKS[:1], seed=0), Looks)


def test_all_ways_to_give_a_mask(pipe: GroupDNetPipeline, tmp_path: Path) -> None:
    mask = MASKS[0]
    picture = Image.fromarray(mask.astype(np.uint8))
    picture.save(tmp_path / "mask.png")
    ways = [str(tmp_path / "mask.png"), tmp_path / "mask.png", picture, mask, torch.from_numpy(mask)]
    ways += [
        mask.astype(np.uint8),
        torch.from_numpy(mask).int(),
        picture.resize((96, 64), Image.Resampling.NEAREST),
    ]
    looks = pipe.sample(ways, seed=1)
    assert all(same(look, looks[0]) for look in looks)


def test_every_verb_takes_lists(pipe: GroupDNetPipeline) -> None:
    looks, seeds = pipe.sample(MASKS, seed=range(5)), [5, 6, 7, 8, 9]
    for look, seed, rerolled in zip(looks, seeds, pipe.reroll(looks, ["house", 0], seeds), strict=True):
        assert same(rerolled, pipe.reroll(look, ["house", 0], seed))
    for seed, rerolled in zip(seeds, pipe.reroll(looks[0], iter(["house"]), seeds), strict=True):
        assert same(rerolled, pipe.reroll(looks[0], "house", seed))
    masks = MASKS[::-1]
    for look, mask, edited in zip(looks, masks, pipe.edit(looks, masks, seed=4), strict=True):
        assert same(edited, pipe.edit(look, mask, seed=4))
    for mask, edited in zip(masks, pipe.edit(looks[0], masks), strict=True):
        assert same(edited, pipe.edit(looks[0], mask))
    sources = {"sky": looks[0]}
    for mask, look, mixed in zip(masks, looks, pipe.mix(masks, sources, looks), strict=True):
        assert same(mixed, pipe.mix(mask, sources, look))
    for mask, seed, mixed in zip(masks, seeds, pipe.mix(masks, sources, seed=seeds), strict=True):
        assert same(mixed, pipe.mix(mask, sources, seed=seed))
    photos = looks.images
    for photo, mask, encoded in zip(photos, MASKS, pipe.encode(photos, MASKS), strict=True):
        assert same(encoded, pipe.encode(photo, mask))
    assert isinstance(pipe.morph(looks[0], looks[1], 3), Looks)


def test_instance_maps_go_with_their_masks() -> None:
    pipe = GroupDNetPipeline(loud_model(instance_edges=True))
    maps = [np.zeros(SIZE, np.int64), mask_of(9)]
    together = pipe.sample(MASKS[:2], seed=0, instance=maps)
    for mask, instance, look in zip(MASKS, maps, together, strict=False):
        assert same(look, pipe.sample(mask, seed=0, instance=instance))
    # One array as both: the label map's ids are its instances too.
    assert same(
        pipe.sample(MASKS[:1], seed=0, instance=MASKS[:1])[0],
        pipe.sample(MASKS[0], seed=0, instance=MASKS[0]),
    )
    with pytest.raises(ValueError, match="some pictures have an instance map and others have none"):
        GroupDNetPipeline(pipe.model, batch_size=2).sample(MASKS[:2], instance=[maps[0], None])


# -- seeds and generators --------------------------------------------------------------------------------------


def test_a_seeded_generator_draws_what_its_seed_draws(pipe: GroupDNetPipeline) -> None:
    def seeded(*seeds: int) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    look = pipe.sample(MASKS[0], generator=seeded(3)[0])
    assert look.seed is None
    assert torch.equal(look.codes.tensor, pipe.sample(MASKS[0], seed=3).codes.tensor)
    for one, other in zip(
        pipe.sample(MASKS[:2], generator=seeded(3, 4)), pipe.sample(MASKS[:2], seed=[3, 4]), strict=True
    ):
        assert np.array_equal(pixels(one), pixels(other))
    base = pipe.sample(MASKS[0], seed=0)
    for verb in (
        lambda **draw: pipe.reroll(base, "sky", **draw),
        lambda **draw: pipe.edit(base, MASKS[1], **draw),
        lambda **draw: pipe.mix(MASKS[1], {"sky": base}, **draw),
        lambda **draw: pipe.encode(base.image, np.zeros_like(MASKS[0]), **draw),
    ):
        assert np.array_equal(pixels(verb(generator=seeded(8)[0])), pixels(verb(seed=8)))


def test_one_generator_serves_all_pictures_in_turn(pipe: GroupDNetPipeline) -> None:
    first, second = pipe.sample([MASKS[0]] * 2, generator=torch.Generator().manual_seed(3))
    assert not np.array_equal(pixels(first), pixels(second))
    generator = torch.Generator().manual_seed(3)
    for look in (first, second):
        assert np.array_equal(pixels(look), pixels(pipe.sample(MASKS[0], generator=generator)))
    streamed = pipe.stream([MASKS[0]] * 2, generator=torch.Generator().manual_seed(3))
    assert np.array_equal(pixels(list(streamed)[1]), pixels(second))


# -- batches and memory ----------------------------------------------------------------------------------------


@pytest.fixture
def batches(pipe: GroupDNetPipeline, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each call of the decoder draws."""
    sizes: list[int] = []
    decode = pipe.model.decode
    monkeypatch.setattr(
        pipe.model, "decode", lambda codes, *maps: sizes.append(len(codes)) or decode(codes, *maps)
    )
    return sizes


def test_no_more_than_a_batch_is_decoded_at_once(
    pipe: GroupDNetPipeline, batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = pipe.sample(MASKS, seed=range(5))
    assert batches == [1] * 5
    batches.clear()
    monkeypatch.setattr(pipe, "batch_size", 2)
    for draw in (pipe.sample, pipe.stream):
        looks = list(draw(MASKS, seed=range(5)))
        assert batches == [2, 2, 1]
        batches.clear()
        # Batches may round otherwise: by one step of 256, here and there.
        for one, other in zip(looks, alone, strict=True):
            assert torch.equal(one.codes.tensor, other.codes.tensor)
            difference = np.abs(pixels(one) - pixels(other))
            assert difference.max() <= 1
            assert (difference > 0).mean() < 0.01
    pipe.sample(MASKS[0], seed=range(5))  # on one map
    assert batches == [2, 2, 1]


def test_a_stream_holds_one_batch(pipe: GroupDNetPipeline, batches: list[int]) -> None:
    """It reads a label map when its picture is asked for, so that the memory in use has a bound."""
    given: list[int] = []

    def masks() -> Iterator[np.ndarray]:
        for place in range(10**9):
            given.append(place)
            yield MASKS[place % 5]

    stream = pipe.stream(masks(), seed=7)
    assert given == []
    for count in range(1, 4):
        next(stream)
        assert len(given) == len(batches) == count


def test_the_cache_keeps_to_its_size(pipe: GroupDNetPipeline) -> None:
    small = GroupDNetPipeline(pipe.model, cache_bytes=2**20)
    for _ in small.stream((mask_of(seed) for seed in range(30)), seed=0):
        assert sum(prepared.nbytes for prepared in small.prepared_maps.maps) <= 2**20


def test_all_inputs_are_read_before_the_first_picture_is_drawn(
    pipe: GroupDNetPipeline, batches: list[int]
) -> None:
    wrong = [*MASKS[:3], np.zeros((64, 64), np.int64), MASKS[4]]
    with pytest.raises(ValueError, match=r"picture 4 of 5: the label map is 64x64 .* crop it or pad it"):
        pipe.sample(wrong, seed=0)
    assert batches == []
    stream = pipe.stream(wrong, seed=0)
    assert len([next(stream) for _ in range(3)]) == 3
    with pytest.raises(ValueError, match="picture 4: the label map is 64x64"):
        next(stream)


# -- refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda pipe: pipe.sample(MASKS, seed=[1, 2]), "5 of mask, 2 of seed or generator: give one for each"),
        (lambda pipe: pipe.sample(MASKS[:2], generator=[torch.Generator()]), "2 of mask, 1 of seed or generator"),
        (lambda pipe: pipe.sample(MASKS[:2], instance=MASKS), "2 of mask, 5 of instance"),
        (lambda pipe: list(pipe.stream(iter(MASKS), seed=[1, 2])), "there are 2 of seed or generator and more of mask"),
        (lambda pipe: list(pipe.stream(MASKS[:1], seed=[1, 2])), "more of seed or generator than of mask"),
        (lambda pipe: pipe.stream("mask.png"), "masks is of type str; it must be a list"),
        (lambda pipe: pipe.sample(np.stack(MASKS)), r"one array \(5, 32, 48\) of several maps: give a list"),
        (lambda pipe: pipe.sample(torch.zeros(2, 32, 48, 3)), r"one array \(2, 32, 48, 3\) of several maps"),
        (lambda pipe: pipe.sample(iter(MASKS)), "of type list_iterator: give a list of them, or use stream"),
        (lambda pipe: pipe.sample([MASKS]), "picture 1 of 1: the label map is of type list"),
        (lambda pipe: pipe.sample(MASKS[0], 1, generator=torch.Generator()), "seed and generator are both given"),
        (lambda pipe: pipe.encode(MASKS[0], MASKS[0], seed=1, generator=torch.Generator()), "are both given"),
        (lambda pipe: pipe.sample(MASKS[0], generator=3), "generator is of type int; it must be a torch.Generator"),
        (lambda pipe: pipe.sample(MASKS[0], seed=[1, -1]), "seed is -1; it must be a whole number"),
        (lambda pipe: pipe.sample(MASKS[0], seed="1"), "seed is '1'; it must be a whole number"),
        (lambda pipe: pipe.reroll("look", "sky"), "a look is expected, not 'look'"),
        (lambda pipe: pipe.reroll([MASKS[0].tolist()], "sky"), "picture 1 of 1: a look is expected"),
        (lambda pipe: pipe.sample(MASKS[0]) and Looks().grid(), "there are no looks to show"),
        (lambda pipe: GroupDNetPipeline(pipe.model, batch_size=0), "batch_size is 0; it must be"),
    ],
)  # fmt: skip
def test_refusals(pipe: GroupDNetPipeline, call: Callable[[GroupDNetPipeline], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(pipe)
