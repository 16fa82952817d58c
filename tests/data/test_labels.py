"""Label sets, and drawing and resizing label maps."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from groupdnet_hub.data.label_maps import read_instance_map, read_label_map
from groupdnet_hub.data.labels import (
    LabelSet,
    classes_present,
    colour_picture,
    instance_edges,
    label_picture,
    one_hot,
    resize_label_map,
    resize_map,
    shown_classes,
)
from groupdnet_hub.io.images import photo_to_bytes, read_photo
from tests.helpers.label_examples import IDS, LABELS, numbered
from tests.helpers.shared_data import shared_folder

# Label sets


def test_sequences_become_tuples_of_integers() -> None:
    given = LabelSet(["a", "b"], np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8))  # type: ignore[arg-type]
    assert given == LabelSet(("a", "b"), ((1, 2, 3), (4, 5, 6)))
    assert hash(given) == hash(LabelSet(("a", "b"), ((1, 2, 3), (4, 5, 6))))
    assert all(type(value) is int for colour in given.palette for value in colour)
    assert len(given) == 2


@pytest.mark.parametrize(
    ("names", "palette", "words"),
    [
        ([], [], "classes is 0"),
        (["a", " "], [[0, 0, 0], [1, 1, 1]], "not a name"),
        (["a", 3], [[0, 0, 0], [1, 1, 1]], "not a name"),
        (["a", "a"], [[0, 0, 0], [1, 1, 1]], "'a' more than once"),
        (["a", "b"], [[0, 0, 0]], "1 colours for 2 classes"),
        (["a", "b"], [[0, 0, 0], [0, 0, 0]], "same colour twice"),
        (["a"], [[0, 0, 256]], "256"),
        (["a"], [[0, 0, 0.5]], "whole numbers"),
        (["a"], [[0, 0]], "three"),
        (["a"], ["red"], "must be a list"),
        ("a", [[0, 0, 0]], "must be a list"),
    ],
)
def test_label_sets_that_cannot_be(names: object, palette: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LabelSet(names, palette)  # type: ignore[arg-type]


def test_default_palettes_are_unique_stable_and_apart() -> None:
    assert len(set(numbered(4096).palette)) == 4096
    assert numbered(4096).palette[:300] == numbered(300).palette
    colours = np.array(numbered(60).palette, dtype=int)
    distance = np.abs(colours[:, None] - colours).max(axis=2) + np.eye(60, dtype=int) * 255
    assert distance.min() > 2 * 8  # twice the tolerance of reading: no colour can be taken for another
    with pytest.raises(ValueError, match="4096"):
        numbered(4097)
    with pytest.raises(ValueError, match="must be a list"):
        LabelSet.from_names("sky")


def test_class_files_round_trip(tmp_path: Path) -> None:
    labels = LabelSet(("ciel bleu", "Straße", "樹"), LABELS.palette[:3])
    labels.to_file(tmp_path / "classes.json")
    assert LabelSet.from_file(tmp_path / "classes.json") == labels
    LABELS.to_file(str(tmp_path / "classes.json"))
    assert LabelSet.from_file(str(tmp_path / "classes.json")) == LABELS
    assert [path.name for path in tmp_path.iterdir()] == ["classes.json"]


def test_a_class_file_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LABELS.to_file(tmp_path / "classes.json")

    def full_disk(path: Path, text: str, *args: object, **kwargs: object) -> None:
        path.write_bytes(text[:10].encode())
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(OSError, match="no space"):
        numbered(9).to_file(tmp_path / "classes.json")
    assert LabelSet.from_file(tmp_path / "classes.json") == LABELS
    assert [path.name for path in tmp_path.iterdir()] == ["classes.json"]


def test_class_files_are_ordered_by_id_and_keep_their_other_keys_to_themselves(tmp_path: Path) -> None:
    classes = [{"id": 1, "name": "b", "color": [1, 1, 1]}, {"id": 0, "name": "a", "color": [0, 0, 0]}]
    (tmp_path / "c.json").write_text(json.dumps({"classes": classes, "names": ["a", "b"], "void_ids": [1]}))
    assert LabelSet.from_file(tmp_path / "c.json") == LabelSet(("a", "b"), ((0, 0, 0), (1, 1, 1)))


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"names": ["a"]}',
        '{"classes": []}',
        '{"classes": [{"id": 0}]}',
        '{"classes": [{"id": 1, "name": "a", "color": [0, 0, 0]}]}',
        '{"classes": [{"id": 0, "name": 3, "color": [0, 0, 0]}]}',
        '{"classes": [{"id": 0, "name": "a", "color": 5}]}',
        '{"classes": [{"id": 0, "name": "a", "color": [0, 0, 300]}]}',
        "\x00\x01",
    ],
)
def test_class_files_of_another_form_are_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "wrong.json").write_text(text)
    with pytest.raises(ValueError, match=r"wrong\.json"):
        LabelSet.from_file(tmp_path / "wrong.json")
    with pytest.raises(ValueError, match=r"none\.json"):
        LabelSet.from_file(tmp_path / "none.json")


def test_classes_by_name_or_id() -> None:
    assert [LABELS.id_of(c) for c in ("hair", 1, np.int64(3), "top-clothes")] == [1, 1, 3, 3]
    assert LABELS.ids_of(["face", 0]) == [2, 0]
    assert LABELS.ids_of(c for c in ()) == []


@pytest.mark.parametrize(
    ("class_", "words"),
    [
        ("top-cloths", r"'top-cloths', did you mean 'top-clothes'\?.*background, hair, face"),
        ("HAIR", "did you mean 'hair'"),
        ("zebra", r"'zebra'\. The classes are background"),
        (4, r"no class 4: the ids are 0 to 3 \(background, hair"),
        (-1, "no class -1"),
        (True, "True"),
        (1.0, r"1\.0"),
        (None, "None"),
    ],
)
def test_unknown_classes(class_: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LABELS.id_of(class_)  # type: ignore[arg-type]


def test_one_name_is_no_list_of_classes() -> None:
    with pytest.raises(ValueError, match=r"\['hair'\]"):
        LABELS.ids_of("hair")


# Tensors


@given(*[st.integers(1, 40)] * 4)
@settings(max_examples=100, deadline=None)
def test_resizing_takes_the_id_at_each_pixels_centre(
    height: int, width: int, new_height: int, new_width: int
) -> None:
    label = torch.arange(2 * height * width).reshape(2, height, width)
    rows = [math.floor((Fraction(i) + Fraction(1, 2)) * height / new_height) for i in range(new_height)]
    columns = [math.floor((Fraction(i) + Fraction(1, 2)) * width / new_width) for i in range(new_width)]
    resized = resize_label_map(label.int(), (new_height, new_width))
    assert resized.dtype == torch.int64
    assert torch.equal(resized, label[:, rows][:, :, columns])
    assert torch.equal(resize_label_map(label + 2**53, (new_height, new_width)), resized + 2**53)
    assert (resize_map(label[1].numpy(), (new_height, new_width)) == resized[1].numpy()).all()


@pytest.mark.parametrize("side", [200, 256, 300])
def test_a_resized_map_lies_on_its_resized_photo(side: int) -> None:
    """A drawing as photo and as map: they differ at the pixels that its outline crosses, and no more."""
    cases = shared_folder("cases")
    ids = np.array(Image.open(cases / "resize_map.png"))
    photo = photo_to_bytes(read_photo(cases / "resize_photo.png"), (side, side))[0] > 127
    two = LabelSet.from_names(["ground", "drawing"])
    read = read_label_map((ids > 0).astype(np.uint8), two, size=(side, side), resize=True)
    differing = int((photo.numpy() != (read == 1)).sum())
    assert differing <= 126  # 318 to 518 by the positions of F.interpolate(mode="nearest")
    assert (read_instance_map(ids, size=(side, side)) == read * ids.max()).all()


def test_one_hot() -> None:
    label = torch.from_numpy(IDS)[None].repeat(2, 1, 1)
    channels = one_hot(label, 5)
    assert channels.shape == (2, 5, 3, 4)
    assert channels.dtype == torch.float32
    assert torch.equal(channels.sum(1), torch.ones(2, 3, 4))
    assert torch.equal(channels.argmax(1), label)
    assert one_hot(label, 4, dtype=torch.float16).dtype == torch.float16
    for bad, words in (
        (label + 1, "class id 4 at 4 pixels; the ids are 0 to 3"),
        (-label, "class id -3 at 4 pixels"),
    ):
        with pytest.raises(ValueError, match=words):
            one_hot(bad, 4)
    for bad in (label.float(), label[0], label[None], label > 0):
        with pytest.raises(ValueError, match=r"\[B, H, W\]"):
            one_hot(bad, 4)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 999))
@settings(max_examples=30, deadline=None)
def test_edges_are_where_a_neighbour_differs(height: int, width: int, seed: int) -> None:
    ids = np.random.default_rng(seed).integers(0, 3, (height, width))
    edges = instance_edges(torch.from_numpy(ids)[None])
    assert edges.shape == (1, 1, height, width)
    assert edges.dtype == torch.float32
    for row, column in np.ndindex(height, width):
        around = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
        inside = [(r, c) for r, c in around if 0 <= r < height and 0 <= c < width]
        assert edges[0, 0, row, column] == any(ids[place] != ids[row, column] for place in inside)


def test_edges_as_recorded() -> None:
    facts = json.loads((shared_folder("parity") / "misc.json").read_text())["edges"]
    assert instance_edges(torch.tensor(facts["inst"])[None])[0, 0].tolist() == facts["edge"]


def test_classes_present() -> None:
    assert classes_present(IDS[:1], 4) == [0, 1, 3]
    assert classes_present(torch.from_numpy(IDS), 4) == [0, 1, 2, 3]


def test_shown_classes() -> None:
    label = torch.tensor([[[0, 2], [2, 2]], [[3, 3], [1, 0]]])
    expected = torch.tensor([[True, False, True, False], [True, True, False, True]])
    for dtype in (torch.int64, torch.int32, torch.uint8):
        assert torch.equal(shown_classes(label.to(dtype), 4), expected)


def test_drawing_refuses_what_has_no_colour() -> None:
    for draw in (label_picture, colour_picture):
        for bad, words in (
            (IDS + 1, "class id 4 at 2 pixels; the ids are 0 to 3"),
            (IDS + 256, "class id 259"),
            (IDS - 1, "class id -1"),
            (IDS[None], r"\[height, width\]"),
            (IDS * 1.0, "float64"),
        ):
            for source in (bad, torch.from_numpy(bad)):
                with pytest.raises(ValueError, match=words):
                    draw(source, LABELS)
