"""prepare.py photos: a parser labels photos without label maps, and only those of which it is sure are used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from groupdnet_hub import PairedImages
from groupdnet_hub.data.people import PEOPLE
from groupdnet_hub.data.person_frames import upper_square
from groupdnet_hub.data.person_maps import keep_main_person
from groupdnet_hub.metrics import LabelTable
from groupdnet_hub.metrics.segmenter import parse, sureness
from groupdnet_hub.prepare import photos as prepare_photos
from tests.helpers.prepare_runs import TAGS, entries, ids_of, prepare
from tests.helpers.raw_data import ccp_person, save, write_ccp

ODD = (61, 203, 59)
PALETTE = torch.tensor(PEOPLE.palette, dtype=torch.float32)


class ColourParser:
    """Knows the classes by their colours; of one that is none of theirs, it says 4 and is unsure."""

    def probabilities(self, pictures: torch.Tensor) -> torch.Tensor:
        far = (pictures.float().movedim(1, -1)[..., None, :] - PALETTE).abs().sum(-1)
        probabilities = (-far).softmax(-1)
        odd = (pictures == torch.tensor(ODD).view(3, 1, 1)).all(1)
        unsure = torch.full((len(PALETTE),), 0.8 / 7).index_fill(0, torch.tensor(4), 0.2)
        return torch.where(odd[..., None], unsure, probabilities).movedim(-1, 1)


@pytest.fixture(autouse=True)
def colour_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_photos, "load_segmenter", lambda recipe: ColourParser())


def person(height: int = 120, width: int = 80) -> np.ndarray:
    """A person of 80 rows, and a passer-by at the side."""
    ids = np.zeros((height, width), dtype=np.int64)
    ids[20:26, 34:46], ids[26:34, 35:45], ids[34:60, 30:50] = 1, 2, 4
    ids[60:90, 32:48], ids[90:100, 32:48] = 5, 7
    ids[40:60, 70:76] = 4
    return ids


def painted(ids: np.ndarray) -> Image.Image:
    return Image.fromarray(np.array(PEOPLE.palette, dtype=np.uint8)[ids])


def write_photos(folder: Path) -> Path:
    unsure = np.asarray(painted(person())).copy()
    unsure[34:60, 30:50] = ODD
    save(painted(person()), folder / "sure.png")
    save(Image.fromarray(unsure), folder / "unsure.png")
    save(painted(np.zeros((60, 60), dtype=np.int64)), folder / "street.png")
    save(painted(person()), folder / "gloves.png")
    lines = [{"file_name": "sure.png", "tags": ["hair"]}, {"file_name": "gloves.png", "tags": ["gloves"]}]
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_sure_photos_become_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos, out = write_photos(tmp_path / "photos"), tmp_path / "out"
    flags = (
        "photos",
        "--input",
        photos,
        "--output",
        out,
        "--resolution",
        64,
        "--frame",
        "person",
        "--cut_out",
    )
    flags += ("--min_sureness", 0.9)
    assert prepare(*flags) == 0
    said = capsys.readouterr().out
    assert "prepared 1, left out 2 (1 unsure, 1 without a person in sight)" in said
    assert "1 photos with gloves were not used" in said
    (entry,) = entries(out / "train")
    assert entry["file_name"] == "images/sure.png"
    assert entry["sureness"] > 0.99
    label, picture = (
        ids_of(out / "train" / "labels" / "sure.png"),
        ids_of(out / "train" / "images" / "sure.png"),
    )
    assert set(np.unique(label)) == {0, 1, 2, 4, 5, 7}
    rows = np.flatnonzero((label > 0).any(1))
    assert len(rows) == pytest.approx(64 / 1.08, abs=2), "framed by the person, not by the passer-by"
    assert picture[label == 0].min() > 150, "on a light backdrop"
    data = PairedImages.from_folder([out, out], (64, 64))
    assert len(data) == 2
    assert torch.equal(data[0]["image"], data[1]["image"])
    assert prepare(*flags) == 0
    assert "prepared 1 (1 of them before)" in capsys.readouterr().out
    assert prepare(*flags, "--min_sureness", 0.5) == 2
    assert "min_sureness was 0.9 and is now 0.5" in capsys.readouterr().err


def test_of_clothing_co_parsing_the_unlabelled_are_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = write_ccp(tmp_path / "raw", TAGS, {"0001": ccp_person(TAGS)})
    save(painted(person()), raw / "photos" / "1005.png")
    flags = ("photos", "--input", raw, "--output", tmp_path / "out", "--frame", "upper", "--resolution", 64)
    assert prepare(*flags) == 0
    assert "1 photos have a pixel-level annotation and were not used" in capsys.readouterr().out
    (entry,) = entries(tmp_path / "out" / "train")
    assert entry["file_name"] == "images/ccp_1005.png"
    assert 7 not in ids_of(tmp_path / "out" / "train" / "labels" / "ccp_1005.png"), "no shoes, head to hips"


def test_photos_in_several_upright_frames(tmp_path: Path) -> None:
    save(painted(person()), tmp_path / "photos" / "a.png")
    flags = ("photos", "--input", tmp_path / "photos", "--output", tmp_path / "out", "--resolution", 64)
    assert prepare(*flags, "--frame", "full", "upper", "--aspect", 2, "--min_sureness", 0.9) == 0
    listed = entries(tmp_path / "out" / "train")
    assert [entry["file_name"] for entry in listed] == ["images/a_full.png", "images/a_upper.png"]
    full, upper = (ids_of(tmp_path / "out" / "train" / str(entry["label_file_name"])) for entry in listed)
    assert full.shape == upper.shape == (64, 32)
    assert 7 in full
    assert 7 not in upper, "no shoes, head to hips"
    assert len(np.flatnonzero((full > 0).any(1))) == pytest.approx(64 / 1.06, abs=2)


def test_a_photo_is_parsed_with_its_mirror_image() -> None:
    class Left:
        """Says 4 for the left half of whatever it is shown."""

        def probabilities(self, pictures: torch.Tensor) -> torch.Tensor:
            probabilities = torch.zeros(len(pictures), 8, *pictures.shape[2:])
            half = pictures.shape[3] // 2
            probabilities[:, 4, :, :half], probabilities[:, 0, :, half:] = 1, 1
            return probabilities

    probabilities = parse(Left(), Image.new("RGB", (40, 60)))
    assert probabilities.shape == (8, 60, 40)
    assert np.allclose(probabilities[[0, 4]], 0.5), "where the two disagree, neither is sure"


def test_sureness_counts_classes_alike() -> None:
    ids = np.zeros((10, 10), dtype=np.int64)
    ids[:8], ids[8, :2] = 4, 2
    probabilities = np.zeros((8, 10, 10), dtype=np.float32)
    probabilities[4], probabilities[2] = 0.9, 0.5
    assert sureness(probabilities, ids) == pytest.approx(0.7)
    assert sureness(probabilities, np.zeros_like(ids)) == 0


def test_the_main_person_stays() -> None:
    ids = keep_main_person(person())
    assert (ids[:, 70:] == 0).all(), "the passer-by is gone"
    assert (ids[:, :60] == person()[:, :60]).all()
    apart = person()[:, :60]
    apart[58:62] = 0  # a bag before the hips
    assert (keep_main_person(apart) == apart).all()


def test_upper_square() -> None:
    left, top, side = upper_square(keep_main_person(person()))
    assert side == 48
    assert 15 <= top < 20, "begins just above the head"
    assert left + side / 2 == pytest.approx(40, abs=1)
    assert upper_square(person(100, 52)[:, :52])[0] >= 0, "inside the picture"


def test_same_names() -> None:
    table = LabelTable.same_names(PEOPLE)
    assert table.targets["shoes"] == PEOPLE.id_of("shoes")
    assert not table.ignored


def test_photos_of_several_sizes_are_parsed_at_once(tmp_path: Path) -> None:
    """The network sees a batch, and each photo gets the map that it gets alone, up to rounding."""
    from groupdnet_hub.data.labels import LabelSet
    from groupdnet_hub.metrics import Segmenter
    from groupdnet_hub.metrics.segmenter import parse_many
    from tests.helpers.small_parser import NAMES, save_small_parser

    labels = LabelSet.from_names(list(NAMES))
    segmenter = Segmenter(save_small_parser(tmp_path / "parser"), LabelTable.same_names(labels, NAMES))
    seen: list[int] = []
    segmenter.network.register_forward_pre_hook(
        lambda _, args, named: seen.append(len(named["pixel_values"])), with_kwargs=True
    )
    sizes = ((40, 64), (90, 50), (64, 64))
    noise = np.random.default_rng(0)
    photos = [Image.fromarray(noise.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]
    found = parse_many(segmenter, photos)
    assert seen == [6], "three photos and their mirror images"
    for one, photo, size in zip(found, photos, sizes, strict=True):
        assert one.shape == (len(NAMES), *size)
        np.testing.assert_allclose(one, parse(segmenter, photo), atol=1e-5)


def test_batches_give_what_single_photos_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Batched(ColourParser):
        def probabilities_of_each(self, pictures: list[torch.Tensor]) -> list[torch.Tensor]:
            seen.append(len(pictures))
            return [self.probabilities(one) for one in pictures]

    monkeypatch.setattr(prepare_photos, "load_segmenter", lambda recipe: Batched())
    photos = write_photos(tmp_path / "photos")
    (photos / "broken.png").write_bytes(b"no picture")
    flags = ("photos", "--input", photos, "--resolution", 64, "--frame", "person", "upper")
    for name, more in (("one", ()), ("many", ("--parser_batch_size", 4))):
        assert prepare(*flags, "--output", tmp_path / name, *more) == 1
    assert max(seen) > 1
    assert max(seen) <= 4

    def files(folder: Path) -> dict[str, bytes]:
        found = [path for path in folder.rglob("*") if path.is_file() and path.name != ".prepare.jsonl"]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}

    assert files(tmp_path / "one") == files(tmp_path / "many")
    assert len(entries(tmp_path / "many" / "train")) == 4
