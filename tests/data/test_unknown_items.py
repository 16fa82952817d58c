"""Items of data sets whose label maps have unknown pixels: which they are, wherever items are kept and moved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from groupdnet_hub import LabelSet, PairedImages, StreamedImages
from groupdnet_hub.data.transforms.moves import Moves, MoveTable, move_item
from groupdnet_hub.data.transforms.placement import Placement
from groupdnet_hub.data.transforms.simplified_maps import Simplification
from groupdnet_hub.data.unknown import UNKNOWN
from tests.helpers.placed_items import figure
from tests.helpers.unknown_maps import ignore_in, write_bordered

SIZE = (40, 32)
ALL_MOVES = {"random_flip": True, "random_shift": 0.1, "random_scale": 0.2, "random_turn": 9.0}


@pytest.fixture(scope="module")
def bordered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bordered")
    write_bordered(folder, 5, (64, 48))
    return folder


@pytest.fixture(scope="module")
def labels(bordered: Path) -> LabelSet:
    found = LabelSet.from_file(bordered / "classes.json")
    return LabelSet(found.names, found.palette, (255,))


def opened(folder: Path, labels: LabelSet, **kwargs: object) -> PairedImages:
    return PairedImages.from_folder(folder, SIZE, labels=labels, **kwargs)  # type: ignore[arg-type]


def test_an_item_says_which_pixels_are_unknown(bordered: Path, labels: LabelSet) -> None:
    full = PairedImages.from_folder(bordered, (64, 48), labels=labels)
    for i in range(len(full)):
        item = full[i]
        written = np.asarray(Image.open(full.pairs[i][1]))
        assert item["unknown"].dtype == torch.bool
        assert np.array_equal(item["unknown"].numpy(), written == 255)
        known = written != 255
        assert np.array_equal(item["label"].numpy()[known], written[known])
        assert int(item["label"].max()) < len(labels)
        photo = torch.from_numpy(np.asarray(Image.open(full.pairs[i][0])).copy()).permute(2, 0, 1)
        torch.testing.assert_close(item["image"], photo / 127.5 - 1)


def test_it_does_not_where_nothing_is_ignored(bordered: Path, labels: LabelSet) -> None:
    plain = LabelSet(labels.names, labels.palette)
    with pytest.raises(ValueError, match=r"value 255 is not a class id"):
        opened(bordered, plain)[0]
    data = PairedImages([(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.int64), None)], plain, (8, 8))
    assert data[0].keys() == {"image", "label"}
    ignoring = PairedImages(data.pairs, labels, (8, 8))
    assert not ignoring[0]["unknown"].any()


@pytest.mark.parametrize(
    ("count", "first"), [(35, "label-0"), (35, "unlabeled"), (151, "other"), (35, "sky")]
)
def test_they_are_of_the_dont_care_class_where_the_paper_has_one(count: int, first: str) -> None:
    """Of Cityscapes with its 35 classes, and of ADE20K with 151; elsewhere of the nearest one."""
    classes = LabelSet.from_names([first, *(f"class {i}" for i in range(1, count))])
    labels = LabelSet(classes.names, classes.palette, (255,))
    ids = np.full((8, 8), 7)
    ids[:, 3:5], ids[:, 6:] = 255, 20
    pairs = [(np.zeros((8, 8, 3), np.uint8), ids, None), (np.zeros((8, 8, 3), np.uint8), ids * 0 + 255, None)]
    item, blank = (PairedImages([pair], labels, (8, 8)) for pair in pairs)
    drawn = item[0]["label"][item[0]["unknown"]].unique().tolist()
    assert drawn == ([7] if first == "sky" else [0])
    assert item[0]["label"][:, [0, 1, 2, 5]].unique().tolist() == [7]
    if first == "sky":
        with pytest.raises(ValueError, match="all pixels of the label map are unknown: leave this map out"):
            blank[0]
    else:
        assert blank[0]["unknown"].all()
        assert not blank[0]["label"].any()


def test_both_maps_are_resized_alike(bordered: Path, labels: LabelSet) -> None:
    """A class in place of the unknown id tells where its pixels go."""
    wider = LabelSet.from_names([f"class {i}" for i in range(256)])
    for item, other in zip(opened(bordered, labels), opened(bordered, wider), strict=False):
        assert torch.equal(item["unknown"], other["label"] == 255)
        assert torch.equal(item["label"][~item["unknown"]], other["label"][~item["unknown"]])


def test_items_are_the_same_wherever_they_are_kept(bordered: Path, labels: LabelSet) -> None:
    transform = Placement(**ALL_MOVES, simplified_maps=0.5, seed=4)
    plain, kept, cached = (
        opened(bordered, labels, transform=transform, cache_bytes=n) for n in (0, 10**7, 0)
    )
    list(kept)
    size = cached.cache_size()
    cached.cache(torch.device("cpu"))
    assert cached.cached is not None
    assert cached.cached.nbytes == size == 5 * SIZE[0] * SIZE[1] * 5
    table = MoveTable.of([cached.moves(i)[1] for i in range(5)], range(5), SIZE)
    batch = cached.batch(table)
    for i in range(5):
        item = plain[i]
        for other in (kept[i], cached[i], {name: value[i] for name, value in batch.items()}):
            assert item.keys() == other.keys() == {"image", "label", "unknown"}
            assert all(torch.equal(value, other[name]) for name, value in item.items())
            assert other["unknown"].dtype == torch.bool
        assert torch.equal(plain.known_label(i), cached.known_label(i))
        unmoved = plain.untransformed()[i]
        assert torch.equal(plain.known_label(i) == UNKNOWN, unmoved["unknown"])
        assert torch.equal(plain.label(i), unmoved["label"])


def test_a_stream_gives_the_same_items(bordered: Path, labels: LabelSet) -> None:
    data = opened(bordered, labels)
    rows = [{"image": Image.open(one), "label": Image.open(map_)} for one, map_, _ in data.pairs]
    for item, streamed in zip(data, StreamedImages(rows, labels, SIZE), strict=False):
        assert item.keys() == streamed.keys()
        assert all(torch.equal(value, streamed[name]) for name, value in item.items())


MOVES = {
    "mirrored": Moves(flip=True),
    "shifted": Moves(shift=(0.2, -0.3)),
    "mirrored and shifted": Moves(flip=True, shift=(-0.1, 0.1)),
    "turned": Moves(turn=(1.2, 25.0)),
    "smaller": Moves(turn=(0.7, 0.0)),
}


def marked() -> dict[str, Tensor]:
    """An item whose unknown pixels are told by its instance ids."""
    label = figure()
    instance = torch.arange(label.numel()).view(label.shape)
    return {
        "image": torch.zeros(3, *label.shape, dtype=torch.uint8),
        "label": label,
        "instance": instance,
        "unknown": (instance % 7 == 0) | (instance < 60),
    }


@pytest.mark.parametrize("moves", MOVES)
def test_unknown_pixels_move_with_the_label_map(moves: str) -> None:
    """What comes into view at an edge repeats it in both."""
    moved = move_item(marked(), MOVES[moves])
    assert not torch.equal(moved["unknown"], marked()["unknown"])
    assert torch.equal(moved["unknown"], (moved["instance"] % 7 == 0) | (moved["instance"] < 60))


def test_what_is_unknown_of_a_photo_stays_so_where_its_map_is_simplified() -> None:
    moves = Moves(simplification=Simplification(1.0, False, (0.3, 0.6)))
    moved = move_item({name: value for name, value in marked().items() if name != "instance"}, moves)
    assert not torch.equal(moved["label"], marked()["label"])
    assert torch.equal(moved["unknown"], marked()["unknown"])


def test_folders_that_ignore_other_values_are_told_apart(
    bordered: Path, labels: LabelSet, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    write_bordered(other, 2, (64, 48))
    ignore_in(other, 255, [1, 2, 3])
    both = LabelSet(labels.names, labels.palette, (255, (1, 2, 3)))
    with pytest.raises(
        ValueError, match=r"other ignores \(1, 2, 3\) in label maps, and .*bordered.* does not"
    ):
        PairedImages.from_folder([bordered, other], SIZE, labels=labels)
    assert len(PairedImages.from_folder([bordered, other], SIZE, labels=both)) == 7
    # What a flag adds to the first folder's classes.json holds for all.
    third = tmp_path / "third"
    write_bordered(third, 2, (64, 48))
    data = PairedImages.from_folder([bordered, third], SIZE, labels=labels)
    assert data[6]["unknown"].any()
