"""Photos without a label map: a small segmentation model of transformers, saved as from the Hub, parses them."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import shared_folder
from hostile_files import Payload
from page_models import MORE_LABELS
from photo_parser import BUNDLED, PhotoParser, why_no_parser
from PIL import Image
from small_parser import NAMES, save_small_parser

from groupdnet_hub import FIGURE_LABELS, LabelSet, draw_figure, read_label_map, read_photo
from groupdnet_hub.metrics import LabelTable, SegmentationMeter, Segmenter

_AUTO = "AutoModelForSemanticSegmentation"


def refuse_connection(*_: Any) -> None:
    raise OSError("no network in this test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_parser(tmp_path_factory.mktemp("parser"))


def test_a_photo_is_parsed_into_our_classes_at_our_size(folder: Path) -> None:
    from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

    pixels = np.random.default_rng(0).integers(0, 256, (90, 60, 3), dtype=np.uint8)
    photo = Image.fromarray(pixels)
    label = PhotoParser(str(folder)).parse(photo, FIGURE_LABELS, (48, 32))
    processor = AutoImageProcessor.from_pretrained(folder)
    model = AutoModelForSemanticSegmentation.from_pretrained(folder).eval()
    with torch.inference_mode():
        logits = model(**processor(images=photo, return_tensors="pt")).logits
    theirs = torch.nn.functional.interpolate(logits, size=(48, 32), mode="bilinear")[0].argmax(0).numpy()
    ours = np.array(
        [FIGURE_LABELS.id_of(n) for n in ("background", "hair", "shoes", "top-clothes", "background")]
    )
    assert label.shape == (48, 32)
    assert len(np.unique(theirs)) > 1
    assert np.array_equal(label, ours[theirs])


def test_further_names_are_given_by_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUPDNET_PARSER", str(folder))
    monkeypatch.setenv("GROUPDNET_PARSER_CLASSES", '{"Kite": "sky", "upper clothes": "ground"}')
    parser = PhotoParser.from_environment(FIGURE_LABELS)
    assert parser is not None
    labels = LabelSet.from_names(["other", "sky", "ground"])
    assert parser._table(dict(enumerate(NAMES)), labels).tolist() == [0, 0, 0, 2, 1]
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
    monkeypatch.setattr("photo_parser.find_spec", lambda name: None)
    assert PhotoParser.from_environment(FIGURE_LABELS) is None


def test_a_model_of_more_classes_has_no_bundled_parser_and_is_told_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GROUPDNET_PARSER", raising=False)
    assert PhotoParser.from_environment(MORE_LABELS) is None
    text = why_no_parser(MORE_LABELS)
    assert "the bundled one has the 8 classes background, hair, face, skin, top-clothes" in text
    assert "this model has the 16 classes background, hair, hat, face, glasses" in text
    assert "GROUPDNET_PARSER" in text
    assert "install transformers and timm" in why_no_parser(FIGURE_LABELS)
    monkeypatch.setenv("GROUPDNET_PARSER", "none")
    assert why_no_parser(MORE_LABELS) == why_no_parser(FIGURE_LABELS)


def test_a_parser_of_less_than_half_of_the_classes_is_refused() -> None:
    """The bundled one for a model of sixteen: all clothes would be background, without a word."""
    parser = PhotoParser(str(BUNDLED))
    names = dict(enumerate(FIGURE_LABELS.names))
    with pytest.raises(
        ValueError, match="the parser knows only background, hair, face, skin, legwear, shoes of"
    ) as no:
        parser._table(names, MORE_LABELS)
    assert "but top-clothes, bottom-clothes: name what they become in GROUPDNET_PARSER_CLASSES." in str(
        no.value
    )
    told = PhotoParser(str(BUNDLED), {"top-clothes": "top", "bottom-clothes": "Trousers"})
    assert [MORE_LABELS.names[i] for i in told._table(names, MORE_LABELS)] == [
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
        assert [labels.names[i] for i in parser._table(dict(enumerate(LIP)), labels)] == expected


def test_the_bundled_parser_is_small_and_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A drawn figure is no photo, but its background is found, whatever the size of the picture."""
    pytest.importorskip("timm", reason="the bundled parser needs timm")
    assert sum(path.stat().st_size for path in BUNDLED.rglob("*")) <= 16 * 2**20
    monkeypatch.setattr("socket.socket.connect", refuse_connection)
    picture, truth = draw_figure(0, (200, 120))
    label = PhotoParser(str(BUNDLED)).parse(picture, FIGURE_LABELS, (200, 120))
    assert label.shape == (200, 120)
    assert (label[truth == 0] == 0).mean() > 0.8


def test_the_bundled_parser_on_real_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten people in the street that it was not trained on, each within a second."""
    pytest.importorskip("timm", reason="the bundled parser needs timm")
    split = shared_folder("data/ccp8") / "validation"
    parser, scores = PhotoParser(str(BUNDLED)), SegmentationMeter(FIGURE_LABELS.names)
    for index, path in enumerate(sorted((split / "images").iterdir())[::8]):
        photo = read_photo(path)
        started = time.process_time()
        label = parser.parse(photo, FIGURE_LABELS, (256, 256))
        seconds = time.process_time() - started
        truth = read_label_map(split / "labels" / f"{path.stem}.png", FIGURE_LABELS)
        scores.update(index, torch.from_numpy(truth), torch.from_numpy(label))
    assert seconds < 2, "of one core, with the model loaded"
    assert scores.result().miou.value > 0.6


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
    """The parser with its weights as a harmful pickle only."""
    (folder / "model.safetensors").unlink()
    torch.save({"decode_head.classifier.bias": Payload(canary)}, folder / "pytorch_model.bin")
    return folder


def with_code(folder: Path, canary: Path) -> Path:
    """The parser as a model with code of its own."""
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
