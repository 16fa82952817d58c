"""Photos without a label map: a small segmentation model of transformers, saved as from the Hub, parses them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from page.core.example_maps import example_map
from page.core.photo_reading.parser import BUNDLED, PhotoParser, why_no_parser
from page.core.photo_reading.person_check import NoPersonError, check_person
from PIL import Image

from groupdnet_hub import GroupDNetPipeline, LabelSet
from groupdnet_hub.data.figure_drawing import draw_figure
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.label_maps import read_label_map
from groupdnet_hub.data.labels import colour_picture
from groupdnet_hub.data.people import PEOPLE16, merge_people16
from groupdnet_hub.data.person_frames import Box, cut_map, find_frame
from groupdnet_hub.io.images import read_photo
from groupdnet_hub.metrics import LabelTable, SegmentationMeter, Segmenter
from groupdnet_hub.metrics.segmenter import parse
from tests.helpers.hostile_files import Payload
from tests.helpers.page_models import MORE_LABELS
from tests.helpers.shared_data import shared_folder
from tests.helpers.small_parser import NAMES, colour_parser, save_small_parser

_AUTO = "AutoModelForSemanticSegmentation"


def refuse_connection(*_: Any) -> None:
    raise OSError("no network in this test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_parser(tmp_path_factory.mktemp("parser"))


PART = LabelSet.from_names(["background", "hair", "shoes", "top-clothes"])


def logits_of(folder: Path, square: Image.Image, side: int) -> torch.Tensor:
    """Return what the network of a folder says of a square picture and its mirror image, [C, side, side] each."""
    from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

    processor = AutoImageProcessor.from_pretrained(folder)
    model = AutoModelForSemanticSegmentation.from_pretrained(folder).eval()
    views = (square, square.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    with torch.inference_mode():
        logits = [model(**processor(images=view, return_tensors="pt")).logits for view in views]
        large = [
            torch.nn.functional.interpolate(one, size=(side, side), mode="bilinear")[0] for one in logits
        ]
    return torch.stack((large[0], large[1].flip(-1)))


def test_a_photo_keeps_its_proportions_and_all_names_of_a_class_count(folder: Path) -> None:
    """A photo of 96x64, in the middle of a square with its border repeated; the mean with its mirror image."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)
    parsed = PhotoParser(str(folder)).parse(Image.fromarray(pixels), PART, (64, 32))
    square = Image.fromarray(np.pad(pixels, ((0, 0), (16, 16), (0, 0)), mode="edge"))
    theirs = logits_of(folder, square, 64).softmax(dim=1).mean(dim=0)[:, :, 16:48]
    # Background and Kite, which is no class of ours, are one class; as are Hat and hair.
    ours = torch.stack((theirs[0] + theirs[4], theirs[1], theirs[2], theirs[3]))
    assert parsed.label.shape == (64, 32)
    assert parsed.box == Box(0, 0, 32, 64)
    expected = ours.argmax(dim=0).numpy()
    assert (parsed.label == expected).mean() > 0.99
    assert (np.array([0, 1, 2, 3, 0])[theirs.argmax(dim=0)] != expected).any(), (
        "ids merged after would differ"
    )


def test_sixteen_classes_serve_models_of_the_eight_by_their_table(tmp_path: Path) -> None:
    parser = PhotoParser(str(save_small_parser(tmp_path, PEOPLE16.names)))
    targets = parser.targets(PEOPLE16.names, FIGURE_LABELS)
    merged = merge_people16(np.arange(16))
    assert [targets[name] for name in PEOPLE16.names] == merged.tolist()
    assert FIGURE_LABELS.names[targets["belt"]] == "bottom-clothes", "to others a belt is worn above"
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    theirs = logits_of(tmp_path, Image.fromarray(pixels), 64).softmax(dim=1).mean(dim=0)
    expected = torch.zeros(8, 64, 64).index_add_(0, torch.from_numpy(merged), theirs)
    shares = parse(parser.segmenter(FIGURE_LABELS), Image.fromarray(pixels))
    np.testing.assert_allclose(shares, expected.numpy(), atol=1e-4)
    told = PhotoParser("any", {"belt": "skin"}).targets(PEOPLE16.names, FIGURE_LABELS)
    assert FIGURE_LABELS.names[told["belt"]] == "skin", "what the environment says comes first"


def wide_photo(
    label: np.ndarray, place: tuple[int, int], size: tuple[int, int]
) -> tuple[Image.Image, np.ndarray]:
    """Return a photo in the colours of its map, which has a smaller one in it."""
    whole = np.zeros(size, np.int64)
    whole[place[0] : place[0] + label.shape[0], place[1] : place[1] + label.shape[1]] = label
    return colour_picture(whole, FIGURE_LABELS), whole


@pytest.mark.parametrize("size", [(128, 64), (128, 128), (64, 128)])
def test_the_person_of_a_wide_photo_is_framed_as_training_data_is(size: tuple[int, int]) -> None:
    label = read_label_map(draw_figure(5, (160, 160))[1], FIGURE_LABELS)
    photo, whole = wide_photo(label, (40, 200), (240, 480))
    parser, segmenter = colour_parser(FIGURE_LABELS)
    parsed = parser.parse(photo, FIGURE_LABELS, size)
    expected = find_frame("full", whole, size[0] / size[1])
    np.testing.assert_allclose(parsed.box, expected, atol=8)  # found in a photo of a fourth of the size
    assert parsed.box.height / parsed.box.width == pytest.approx(size[0] / size[1], rel=0.02)
    truth = read_label_map(cut_map(whole, photo.size, parsed.box), FIGURE_LABELS, size=size, resize=True)
    assert (parsed.label == truth).mean() > 0.95
    assert {(len(seen), max(seen.shape[2:])) for seen in segmenter.seen} == {(1, 128), (2, 128)}


def test_half_a_person_is_framed_down_to_the_edge_of_the_photo() -> None:
    label = read_label_map(draw_figure(5, (160, 160))[1], FIGURE_LABELS)
    rows = np.flatnonzero(label.any(axis=1))
    half = label[: (rows[0] + rows[-1]) // 2]
    photo, whole = wide_photo(half, (240 - len(half), 200), (240, 480))
    parsed = colour_parser(FIGURE_LABELS)[0].parse(photo, FIGURE_LABELS, (128, 64))
    box = parsed.box
    assert box.height == 2 * box.width
    assert box.top + box.height == pytest.approx(240, abs=4)
    top, columns = np.argwhere(whole)[:, 0].min(), np.argwhere(whole)[:, 1]
    assert box.top < top
    assert box.left <= columns.min() + 4
    assert columns.max() - 4 <= box.left + box.width
    assert parsed.label[-1].any(), "the body ends where the picture does"


def test_what_lies_beyond_the_photo_is_background() -> None:
    label = read_label_map(draw_figure(5, (160, 160))[1], FIGURE_LABELS)
    columns = np.flatnonzero(label.any(axis=0))
    label = label[:, columns[0] + 8 : columns[-1] - 8]  # her arms reach out of the photo on both sides
    photo, _ = wide_photo(label, (0, 0), label.shape)
    parsed = colour_parser(FIGURE_LABELS)[0].parse(photo, FIGURE_LABELS, (128, 128))
    scale = 128 / parsed.box.width
    beyond = int(-parsed.box.left * scale)
    assert beyond > 10
    assert not parsed.label[:, :beyond].any()
    assert parsed.label[:, beyond + 2 :].any()


def painted(hair: tuple[slice, slice] | None = None) -> Image.Image:
    """Return a picture of a blue thing."""
    label = np.zeros((128, 128), np.int64)
    label[40:110, 44:84] = FIGURE_LABELS.id_of("top-clothes")
    if hair is not None:
        label[hair] = FIGURE_LABELS.id_of("hair")
    return colour_picture(label, FIGURE_LABELS)


@pytest.mark.parametrize(
    ("photo", "found"),
    [
        (Image.new("RGB", (128, 128)), "nothing in it looks like one"),
        (painted(), "neither a face nor hair"),
        (painted(hair=(slice(36, 37), slice(60, 62))), "neither a face nor hair"),
    ],
)
def test_a_photo_without_a_person_is_refused_with_what_is_in_it(photo: Image.Image, found: str) -> None:
    parser = colour_parser(FIGURE_LABELS)[0]
    with pytest.raises(NoPersonError, match="no person was found in this photo: ") as refused:
        parser.parse(photo, FIGURE_LABELS, (128, 128))
    assert found in str(refused.value)
    assert "Use a photo of one person with their head in view" in str(refused.value)


def test_a_parser_must_be_sure_of_the_head_and_of_the_rest() -> None:
    ids = np.zeros((20, 20), np.int64)
    ids[2:5, 8:12], ids[5:18, 6:14] = FIGURE_LABELS.id_of("hair"), FIGURE_LABELS.id_of("top-clothes")

    def shares(head: float, body: float) -> np.ndarray:
        made = np.zeros((8, 20, 20), np.float32)
        sure = np.where(ids == FIGURE_LABELS.id_of("hair"), head, np.where(ids > 0, body, 1))
        made[0] = 1 - sure
        np.put_along_axis(made, ids[None], sure[None].astype(np.float32), axis=0)
        return made

    check_person(ids, shares(0.8, 0.8), FIGURE_LABELS)
    for head, body, found in (
        (0.7, 0.9, "70% sure of the face or hair"),
        (0.9, 0.6, "63% sure that it sees more than background"),
    ):
        with pytest.raises(NoPersonError, match=found):
            check_person(ids, shares(head, body), FIGURE_LABELS)
    small = np.where(np.arange(20)[:, None] > 6, 0, ids)
    small[:, :9] = 0
    with pytest.raises(NoPersonError, match="a few scattered pixels"):
        check_person(small, shares(1, 1), FIGURE_LABELS)


def test_hat_and_glasses_are_head_and_face() -> None:
    ids = np.zeros((20, 20), np.int64)
    ids[2:5, 8:12], ids[5:18, 6:14] = PEOPLE16.id_of("hat"), PEOPLE16.id_of("dress")
    shares = np.eye(16, dtype=np.float32)[ids].transpose(2, 0, 1)
    shares[PEOPLE16.id_of("hat")] *= 0.5
    shares[PEOPLE16.id_of("hair")] += 0.5 * (ids == PEOPLE16.id_of("hat"))
    check_person(ids, shares, PEOPLE16)


def test_label_sets_without_people_are_parsed_whatever_is_there() -> None:
    labels = LabelSet(("background", "road", "sky"), ((0, 0, 0), (128, 64, 128), (70, 130, 180)))
    parsed = colour_parser(labels)[0].parse(Image.new("RGB", (90, 60), (70, 130, 180)), labels, (32, 32))
    assert parsed.box == Box(15, 0, 60, 60)
    assert (parsed.label == 2).all()


def test_further_names_are_given_by_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUPDNET_PARSER", str(folder))
    monkeypatch.setenv("GROUPDNET_PARSER_CLASSES", '{"Kite": "sky", "upper clothes": "ground"}')
    parser = PhotoParser.from_environment(FIGURE_LABELS)
    assert parser is not None
    labels = LabelSet.from_names(["other", "sky", "ground"])
    assert list(parser.targets(NAMES, labels).values()) == [0, 0, 0, 2, 1]
    monkeypatch.setenv("GROUPDNET_PARSER_CLASSES", "[1]")
    with pytest.raises(ValueError, match="GROUPDNET_PARSER_CLASSES"):
        PhotoParser.from_environment(FIGURE_LABELS)
    monkeypatch.setenv("GROUPDNET_PARSER", "none")
    assert PhotoParser.from_environment(FIGURE_LABELS) is None


def test_the_bundled_parser_is_the_default_for_its_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers", reason="the parser needs transformers")
    pytest.importorskip("timm", reason="the bundled parser needs timm")
    monkeypatch.delenv("GROUPDNET_PARSER", raising=False)
    parser = PhotoParser.from_environment(FIGURE_LABELS)
    assert parser is not None
    assert parser.source == str(BUNDLED)
    assert PhotoParser.from_environment(LabelSet.from_names(["sky", "road"])) is None
    monkeypatch.setattr("page.core.photo_reading.parser.find_spec", lambda name: None)
    assert PhotoParser.from_environment(FIGURE_LABELS) is None


def test_a_model_of_other_classes_has_no_bundled_parser_and_is_told_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GROUPDNET_PARSER", raising=False)
    others = LabelSet.from_names(["sky", "road", "car"])
    assert PhotoParser.from_environment(others) is None
    text = why_no_parser(others)
    assert "the bundled one has the 16 classes background, hair, hat, face, glasses" in text
    assert "this model has the 3 classes sky, road, car" in text
    assert "GROUPDNET_PARSER" in text
    assert "install transformers and timm" in why_no_parser(FIGURE_LABELS)
    monkeypatch.setenv("GROUPDNET_PARSER", "none")
    assert why_no_parser(others) == why_no_parser(FIGURE_LABELS)


def test_a_parser_of_less_than_half_of_the_classes_is_refused() -> None:
    """One of eight for a model of sixteen: all clothes would be background, without a word."""
    parser = PhotoParser(str(BUNDLED))
    names = FIGURE_LABELS.names
    with pytest.raises(
        ValueError, match="the parser knows only background, hair, face, skin, legwear, shoes of"
    ) as no:
        parser.targets(names, MORE_LABELS)
    assert "but top-clothes, bottom-clothes: name what they become in GROUPDNET_PARSER_CLASSES." in str(
        no.value
    )
    told = PhotoParser(str(BUNDLED), {"top-clothes": "top", "bottom-clothes": "Trousers"})
    assert [MORE_LABELS.names[i] for i in told.targets(names, MORE_LABELS).values()] == [
        *("background", "hair", "face", "skin", "top", "trousers", "legwear", "shoes")
    ]


# The names of the 20 ids of LIP, as parsers of the Hub have them.
LIP = (
    *("Background", "Hat", "Hair", "Glove", "Sunglasses", "Upper-clothes", "Dress", "Coat", "Socks", "Pants"),
    *("Jumpsuits", "Scarf", "Skirt", "Face", "Left-arm", "Right-arm", "Left-leg", "Right-leg", "Left-shoe"),
    "Right-shoe",
)


def test_names_of_lip_are_known_in_both_label_sets_of_people() -> None:
    parser = PhotoParser("any")
    rows = {
        MORE_LABELS: "background hat hair skin glasses top dress outerwear legwear trousers dress scarf skirt face",
        FIGURE_LABELS: "background hair hair skin face top-clothes top-clothes top-clothes socks bottom-clothes "
        "top-clothes top-clothes bottom-clothes face",
    }
    for labels, row in rows.items():
        expected = [*row.split(), *["skin"] * 4, *["shoes"] * 2]
        assert [labels.names[i] for i in parser.targets(LIP, labels).values()] == expected


def test_the_bundled_parser_is_small_and_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """It finds the people that the bundled model draws, and nobody in noise or on a wall."""
    pytest.importorskip("timm", reason="the bundled parser needs timm")
    assert sum(path.stat().st_size for path in BUNDLED.rglob("*")) <= 16 * 2**20
    monkeypatch.setattr("socket.socket.connect", refuse_connection)
    parser = PhotoParser(str(BUNDLED))
    pipe = GroupDNetPipeline.from_pretrained(BUNDLED.parent / "model")
    map_ = example_map(BUNDLED.parent / "examples" / "example_02.png", pipe.labels, (256, 256))
    look = pipe.sample(map_, seed=7)
    label = parser.parse(look.image, pipe.labels, (256, 256)).label
    assert label.shape == (256, 256)
    assert len(np.unique(label)) > 3
    finer = parser.parse(look.image, PEOPLE16, (256, 128)).label
    assert finer.shape == (256, 128)
    assert (merge_people16(finer) > 0).mean() > 0.1
    random = np.random.default_rng(0)
    wall = np.clip(np.array([200, 180, 150]) + random.normal(0, 4, (300, 200, 1)), 0, 255)
    for pixels in (random.integers(0, 256, (300, 200, 3)), wall, np.zeros((300, 200, 3))):
        with pytest.raises(NoPersonError):
            parser.parse(Image.fromarray(pixels.astype(np.uint8)), FIGURE_LABELS, (256, 256))


def parsed_uncropped(parser: PhotoParser, photo: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """Return the label map of an uncropped square photo, 0 where the frame around the person does not reach."""
    parsed, whole = parser.parse(photo, FIGURE_LABELS, size), np.zeros(size, np.int64)
    label = read_label_map(
        parsed.label, FIGURE_LABELS, size=(parsed.box.height, parsed.box.width), resize=True
    )
    back = Box(-parsed.box.left, -parsed.box.top, photo.width, photo.height)
    whole[:] = cut_map(label, (parsed.box.width, parsed.box.height), back)
    return whole


@pytest.mark.slow
def test_the_bundled_parser_on_real_photos() -> None:
    """Ten people in the street that it was not trained on."""
    pytest.importorskip("timm", reason="the bundled parser needs timm")
    split = shared_folder("data/ccp8") / "validation"
    parser, scores = PhotoParser(str(BUNDLED)), SegmentationMeter(FIGURE_LABELS.names)
    for index, path in enumerate(sorted((split / "images").iterdir())[::8]):
        photo = read_photo(path)
        label = parsed_uncropped(parser, photo, (256, 256))
        truth = read_label_map(split / "labels" / f"{path.stem}.png", FIGURE_LABELS)
        scores.update(index, torch.from_numpy(truth), torch.from_numpy(label))
    assert scores.result().miou.value > 0.6


@pytest.mark.parametrize(("folder", "class_"), [("camvid", None), ("coco130", "person")])
def test_the_bundled_parser_finds_nobody_in_photos_of_other_things(folder: str, class_: str | None) -> None:
    """Roads with people no larger than a few pixels; cats, rooms, food and all else without a person."""
    pytest.importorskip("timm", reason="the bundled parser needs timm")
    split = shared_folder(f"data/{folder}") / "train"
    parser, labels, tried = PhotoParser(str(BUNDLED)), LabelSet.from_file(split / "classes.json"), 0
    for path in sorted((split / "images").iterdir())[::6]:
        ids = read_label_map(split / "labels" / f"{path.stem}.png", labels)
        if class_ is not None and (ids == labels.id_of(class_)).any():
            continue
        tried += 1
        with pytest.raises(NoPersonError):
            parser.parse(read_photo(path), FIGURE_LABELS, (256, 256))
        if tried == 12:
            break
    assert tried >= 10


def test_a_parser_of_other_things_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"knows none of sky, road, but Background, Hat"):
        PhotoParser(str(folder)).parse(
            Image.new("RGB", (32, 32)), LabelSet.from_names(["sky", "road"]), (32, 32)
        )


def test_a_parser_that_is_not_there_is_refused_without_its_path(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the parser needs transformers")
    with pytest.raises(ValueError, match="cannot be loaded") as refused:
        PhotoParser(str(tmp_path)).parse(Image.new("RGB", (32, 32)), FIGURE_LABELS, (32, 32))
    assert str(tmp_path) not in str(refused.value)


def pickled(folder: Path, canary: Path) -> Path:
    """Save the parser with its weights as a harmful pickle only."""
    (folder / "model.safetensors").unlink()
    torch.save({"decode_head.classifier.bias": Payload(canary)}, folder / "pytorch_model.bin")
    return folder


def with_code(folder: Path, canary: Path) -> Path:
    """Save the parser as a model with code of its own."""
    (folder / "own.py").write_text(f"import os\nos.mkdir({str(canary)!r})\nclass Own: pass\n")
    values = json.loads((folder / "config.json").read_text())
    values |= {"model_type": "own", "auto_map": dict.fromkeys(("AutoConfig", _AUTO), "own.Own")}
    (folder / "config.json").write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize("spoil", [pickled, with_code])
def test_a_parser_of_a_stranger_runs_nothing(folder: Path, tmp_path: Path, spoil: Any) -> None:
    canary = tmp_path / "executed"
    spoilt = spoil(shutil.copytree(folder, tmp_path / "parser"), canary)
    with pytest.raises(ValueError, match="cannot be loaded"):
        PhotoParser(str(spoilt)).parse(Image.new("RGB", (32, 32)), FIGURE_LABELS, (32, 32))
    table = LabelTable(LabelSet.from_names(["a", "b"]), {NAMES[0]: 0, NAMES[1]: 1}, frozenset())
    with pytest.raises(ValueError, match="cannot be loaded"):
        Segmenter(spoilt, table)
    assert not canary.exists()
