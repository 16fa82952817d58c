"""prepare.py photos --tags: what a photo's tags say of its label map, and which photos are left out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from groupdnet_hub import LabelSet, PairedImages
from groupdnet_hub.data.people import PEOPLE, PEOPLE16, merge_people16
from groupdnet_hub.prepare import photos as prepare_photos
from groupdnet_hub.prepare.ccp import merge_tags
from groupdnet_hub.prepare.labels import CCP
from groupdnet_hub.prepare.people import shows_several_people
from groupdnet_hub.prepare.tags import limits_of, read_image_tags
from tests.helpers.prepare_runs import TAGS, entries, ids_of, prepare
from tests.helpers.raw_data import ccp_person, save, write_ccp
from train.tools import pseudo_labels

# What the parser of these tests takes each class for, nearly as likely.
CONFUSED = {"legwear": "trousers", "outerwear": "top", "dress": "skirt", "hat": "hair", "skirt": "trousers"}
PERSON = ("hair", "shirt", "jeans", "shoes")


class ColourParser:
    """Knows the 16 classes by their colours, and is in doubt about some: 0.5 for the first, 0.4 for the second."""

    def __init__(self, labels: LabelSet = PEOPLE16) -> None:
        self.palette = torch.tensor(labels.palette)
        names = [CONFUSED.get(name, name) for name in labels.names]
        self.second = torch.tensor([labels.id_of(name) if name in labels.names else 0 for name in names])

    def probabilities(self, pictures: torch.Tensor) -> torch.Tensor:
        first = (pictures.movedim(1, -1)[..., None, :].int() - self.palette).abs().sum(-1).argmin(-1)
        count = len(self.palette)
        one_hot = torch.nn.functional.one_hot
        probabilities = 0.5 * one_hot(first, count) + 0.4 * one_hot(self.second[first], count) + 0.1 / count
        return probabilities.movedim(-1, 1)


@pytest.fixture(autouse=True)
def colour_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_photos, "load_segmenter", lambda recipe: ColourParser(recipe.labels))


def person(**parts: tuple[tuple[int, int], tuple[int, int]]) -> np.ndarray:
    """Somebody in top, trousers and shoes, 160 rows of 200; then these parts, each rows and columns."""
    ids = np.zeros((200, 100), dtype=np.int64)
    usual = {"hair": ((20, 28), (42, 58)), "face": ((28, 42), (43, 57)), "top": ((42, 90), (35, 65))}
    usual |= {"trousers": ((90, 170), (38, 62)), "shoes": ((170, 180), (38, 62))}
    for name, (rows, columns) in (usual | parts).items():
        ids[slice(*rows), slice(*columns)] = PEOPLE16.id_of(name)
    return ids


def photo_of(ids: np.ndarray) -> Image.Image:
    return Image.fromarray(np.array(PEOPLE16.palette, dtype=np.uint8)[ids])


def write_photos(folder: Path, photos: dict[str, tuple[np.ndarray, Sequence[str] | None]]) -> Path:
    """Photos with their label maps' colours, and a metadata.jsonl with their tags."""
    lines = []
    for name, (ids, tags) in photos.items():
        save(photo_of(ids), folder / f"{name}.png")
        if tags is not None:
            lines.append(json.dumps({"file_name": f"{name}.png", "tags": list(tags)}) + "\n")
    (folder / "metadata.jsonl").write_text("".join(lines))
    return folder


def run(photos: Path, out: Path, *flags: object) -> int:
    usual = ("--classes", "people16", "--frame", "full", "--aspect", 2, "--resolution", 128)
    return prepare("photos", "--input", photos, "--output", out, *usual, *flags)


def names_in(path: Path, labels: LabelSet = PEOPLE16) -> set[str]:
    return {labels.names[i] for i in np.unique(ids_of(path))}


# What tags allow.


def test_the_answer_keeps_to_the_tags(tmp_path: Path) -> None:
    stockings = person(legwear=((130, 170), (38, 62)), bag=((80, 110), (65, 80)))
    photos = write_photos(tmp_path / "photos", {"a": (stockings, ["shirt", "pants", "shoes", "watch"])})
    assert run(photos, tmp_path / "plain", "--min_sureness", 0) == 0
    assert run(photos, tmp_path / "tagged", "--tags") == 0
    plain, tagged = (tmp_path / name / "train" / "labels" / "a.png" for name in ("plain", "tagged"))
    assert {"legwear", "bag"} <= names_in(plain)
    assert names_in(tagged) == {"background", "hair", "face", "top", "trousers", "shoes"}
    (entry,) = entries(tmp_path / "tagged" / "train")
    assert float(str(entry["sureness"])) < 0.88, "0.4 for trousers where it would have said legwear"


@pytest.mark.parametrize(
    ("tags", "allowed"),
    [
        ("jeans", "trousers"),
        ("blouse coat skirt sunglasses", "top outerwear skirt glasses"),
        ("dress", "dress"),
        ("dress heels scarf", "dress shoes scarf"),
        ("dress cardigan", "dress skirt outerwear"),
        ("dress romper", "dress skirt"),
        ("suit shirt", "outerwear top trousers"),
        ("suit shirt skirt", "outerwear top skirt"),
        ("necklace bracelet accessories t-shirt null hair skin", "top"),
        ("outerwear legwear", "outerwear legwear"),
        ("jumper", "top dress"),
        ("vest", "outerwear top"),
    ],
)
def test_what_tags_allow(tags: str, allowed: str) -> None:
    limits = limits_of(tags.split(), PEOPLE16)
    always = {"background", "hair", "face", "skin"}
    expected = always | set(allowed.split())
    assert {name for name, there in zip(PEOPLE16.names, limits.allowed, strict=True) if there} == expected
    merged = {PEOPLE.names[i] for i in merge_people16(np.array([PEOPLE16.id_of(name) for name in expected]))}
    eight = limits_of(tags.split(), PEOPLE).allowed
    assert {name for name, there in zip(PEOPLE.names, eight, strict=True) if there} == merged


def test_every_tag_is_understood() -> None:
    for labels in (PEOPLE, PEOPLE16):
        for tag in CCP:
            assert limits_of([tag], labels).allowed.sum() >= 4
    assert limits_of(["top-clothes"], PEOPLE).allowed.sum() == 5
    assert limits_of(["belt"], PEOPLE).allowed.sum() == 4, "of the 8 classes, a belt is what is nearest"


def test_what_has_to_be_found() -> None:
    ids = person(belt=((90, 92), (38, 42)), skirt=((92, 100), (38, 62)))
    assert limits_of(["shirt", "pants", "belt", "shoes"], PEOPLE16).missing(ids) == [], (
        "a belt may be half hidden"
    )
    assert limits_of(["coat", "shirt"], PEOPLE16).missing(ids) == ["outerwear"]
    sliver = person(outerwear=((42, 52), (35, 38)))
    assert limits_of(["coat", "shirt"], PEOPLE16).missing(sliver) == ["outerwear"], (
        "no coat is as small as this"
    )
    assert limits_of(["dress", "shirt"], PEOPLE16).missing(ids) == [], "a skirt is what that dress is"
    assert limits_of(["jumper", "vest"], PEOPLE16).missing(ids) == [], "a sweater, and a sleeveless top"
    assert limits_of(["dress", "sunglasses"], PEOPLE16).missing(ids) == ["dress", "glasses"]
    assert limits_of(["coat", "bag", "hat", "dress"], PEOPLE).missing(merge_people16(ids)) == [], (
        "all top-clothes"
    )
    assert limits_of(["stockings"], PEOPLE).missing(merge_people16(ids)) == ["legwear"]


# What is left out.


def test_what_is_left_out_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two = np.concatenate((person(), person()), axis=1)
    photos = {
        "good": (person(), PERSON),
        "gloves": (person(), (*PERSON, "gloves")),
        "untagged": (person(), None),
        "empty": (person(), []),
        "jeans": (person(), ["shoes", "hair", "skin", "jeans"]),
        "two": (two, PERSON),
        "hatless": (person(), (*PERSON, "hat", "scarf")),
        "scarfless": (person(), (*PERSON, "scarf")),
        "street": (np.zeros((60, 60), dtype=np.int64), PERSON),
    }
    folder = write_photos(tmp_path / "photos", photos)
    assert run(folder, tmp_path / "out", "--tags") == 0
    said = capsys.readouterr().out
    reasons = "2 a tagged garment not found, 1 gloves, 1 several people, 1 without a person in sight, "
    reasons += "1 without a tagged upper garment, 2 without tags"
    assert f"prepared 1, left out 8 ({reasons}), skipped 0" in said
    assert "1 pictures do not show the tagged hat\n2 pictures do not show the tagged scarf" in said
    assert [entry["file_name"] for entry in entries(tmp_path / "out" / "train")] == ["images/good.png"]
    assert run(folder, tmp_path / "out", "--tags") == 0
    assert said.replace("prepared 1,", "prepared 1 (1 of them before),") == capsys.readouterr().out
    assert run(folder, tmp_path / "unsure", "--tags", "--min_sureness", 0.95) == 1
    assert "1 unsure" in capsys.readouterr().out


def test_a_garment_that_is_out_of_the_frame_is_found_in_the_photo(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", {"a": (person(), PERSON)})
    assert run(photos, tmp_path / "out", "--tags", "--frame", "upper") == 0
    assert "shoes" not in names_in(tmp_path / "out" / "train" / "labels" / "a.png")


def test_several_people() -> None:
    def several(*people: np.ndarray) -> bool:
        return shows_several_people(np.concatenate(people, axis=1), PEOPLE16)

    alone = person(glasses=((33, 36), (43, 57)))
    assert not several(alone), "glasses part a face in two, and it is still one"
    assert several(alone, person())
    far = np.zeros((200, 40), dtype=np.int64)
    far[100:150, 10:30] = person()[20:180:3, 30:70:2][:50]
    assert not several(alone, far), "a passer-by far behind"
    assert not several(person(skin=((100, 112), (66, 74)))), "a hand is not a face"


# Where tags come from.


def write_image_tags(raw: Path, photos: dict[str, Sequence[str]]) -> Path:
    """Clothing Co-Parsing's image-level annotations, as it has them: uint8 ids [1, N], unsorted, and some twice."""
    from scipy.io import savemat

    folder = raw / "annotations" / "image-level"
    folder.mkdir(parents=True)
    for name, tags in photos.items():
        ids = [TAGS.index(tag) for tag in (*tags, "skin", "null", "skin")]
        savemat(folder / f"{name}.mat", {"tags": np.array([ids], dtype=np.uint8)}, do_compression=True)
    return folder


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    raw = write_ccp(tmp_path / "raw", TAGS, {"0001": ccp_person(TAGS)})
    (raw / "photos" / "2000.jpg").unlink()
    write_image_tags(raw, {"1005": PERSON, "1006": ("shirt", "jeans", "gloves")})
    for name in ("1005", "1006", "1007"):
        save(photo_of(person(legwear=((130, 170), (38, 62)))), raw / "photos" / f"{name}.png")
    return raw


def test_clothing_co_parsing_has_them(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = ("--frame", "full", "upper", "--cut_out")
    assert run(raw, tmp_path / "tagged", "--tags", *both) == 0
    said = capsys.readouterr().out
    assert "prepared 2, left out 4 (2 gloves, 2 without tags)" in said
    assert "1 photos have a pixel-level annotation and were not used" in said
    listed = entries(tmp_path / "tagged" / "train")
    assert [entry["file_name"] for entry in listed] == [
        "images/ccp_1005_full.png",
        "images/ccp_1005_upper.png",
    ]
    labels = [tmp_path / "tagged" / "train" / str(entry["label_file_name"]) for entry in listed]
    assert all("trousers" in names_in(label) and "legwear" not in names_in(label) for label in labels)
    corners = {
        tuple(ids_of(tmp_path / "tagged" / "train" / str(entry["file_name"]))[0, 0]) for entry in listed
    }
    assert len(corners) == 1, "both frames on the same backdrop"

    named = raw / "annotations" / "image-level"
    assert run(raw / "photos", tmp_path / "named", "--tags", named, *both) == 0
    assert [entry["label_file_name"] for entry in entries(tmp_path / "named" / "train")] == [
        "labels/1005_full.png",
        "labels/1005_upper.png",
    ]

    flags = ("--input", raw, "--classes", "people16", "--aspect", 2, "--resolution", 128, *both)
    assert prepare("ccp", "--output", tmp_path / "annotated", "--validation_share", 0, *flags) == 0
    data = PairedImages.from_folder([tmp_path / "annotated", tmp_path / "tagged"], (128, 64))
    assert len(data) == 4, "both folders can be trained on together"


def test_ids_are_those_of_the_list(raw: Path) -> None:
    path = raw / "annotations" / "image-level" / "1005.mat"
    assert read_image_tags(path, TAGS) == tuple(sorted({*PERSON, "skin", "null"}))
    with pytest.raises(ValueError, match=r"'1005.mat' holds the tag id \d+; the ids are 0 to 1"):
        read_image_tags(path, TAGS[:2])


def test_tags_that_cannot_be_used(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(photos: Path, *flags: object) -> str:
        assert run(photos, tmp_path / "out", *flags) == 2
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().err

    photos = write_photos(tmp_path / "photos", {"a": (person(), ["shirt", "pullover", "kilt"])})
    said = refused(photos, "--tags")
    assert "unknown tags: 'pullover' of photo a, 'kilt' of photo a. Tags are those of Clothing" in said
    assert "blouse" in said
    assert "outerwear" in said
    (photos / "metadata.jsonl").write_text('{"file_name": "a.png", "tags": "shirt"}\n')
    assert "the tags of a are 'shirt', not a list" in refused(photos, "--tags")
    (photos / "metadata.jsonl").unlink()
    assert "neither annotations/image-level nor metadata.jsonl" in refused(photos, "--tags")
    assert f"no file or folder {tmp_path / 'none'}" in refused(photos, "--tags", tmp_path / "none")
    assert "no .mat files in" in refused(photos, "--tags", photos)
    LabelSet.from_names(("background", "cat")).to_file(tmp_path / "cats.json")
    assert "people8 and people16" in refused(raw, "--tags", "--classes", tmp_path / "cats.json")
    (raw / "label_list.mat").unlink()
    assert "need label_list.mat" in refused(raw, "--tags")


def test_a_run_keeps_to_its_tags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = write_photos(tmp_path / "photos", {"a": (person(), PERSON)})
    listing = photos / "metadata.jsonl"
    assert run(photos, tmp_path / "out", "--tags", listing, "--min_sureness", 0) == 0
    assert run(photos, tmp_path / "out", "--min_sureness", 0) == 2
    assert "tags was" in capsys.readouterr().err


def test_settings_of_runs_without_tags_are_as_they_were(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", {"a": (person(), None)})
    PEOPLE16.to_file(tmp_path / "classes.json")
    flags = ("--classes", tmp_path / "classes.json", "--min_sureness", 0, "--aspect", 1)
    assert run(photos, tmp_path / "out", *flags) == 0
    settings = json.loads((tmp_path / "out" / "train" / ".prepare.json").read_text())
    before = "source resolution label_set cut_out keep_gloves validation_share parser min_sureness frame input labels"
    assert set(settings) == {*before.split(), "instances", "rules"}
    assert run(photos, tmp_path / "smooth", "--min_sureness", 0) == 0
    newer = json.loads((tmp_path / "smooth" / "train" / ".prepare.json").read_text())
    assert {name: newer[name] for name in newer if name not in settings} == {
        "aspect": 2.0,
        "classes": "people16",
        "smooth": 5,
    }


# The measure.


def test_what_tags_are_worth_on_annotated_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The parser sees stockings in half of the photos, where annotators saw trousers throughout."""
    numbers, worn = ("0038", "0073", "0080", "0088"), ccp_person(TAGS)
    worn[80:120, 75] = TAGS.index("bag")
    raw = write_ccp(tmp_path / "raw", TAGS, dict.fromkeys((*numbers, "0001"), worn))
    trousers, legwear, bag = map(PEOPLE16.id_of, ("trousers", "legwear", "bag"))
    for index, name in enumerate(numbers):
        seen = merge_tags(worn, TAGS, PEOPLE16)
        if index % 2:
            seen[140:180][seen[140:180] == trousers] = legwear
        if index == 0:
            seen[seen == bag] = 0
        (raw / "photos" / f"{name}.jpg").unlink()
        save(photo_of(seen), raw / "photos" / f"{name}.png")
    monkeypatch.setattr(pseudo_labels, "segmenter_for", lambda *given: ColourParser())
    pseudo_labels.main(["--input", str(raw), "--smooth", "0"])
    full, upper = capsys.readouterr().out.split("## Frame upper")
    table = [[cell.strip() for cell in line.split("|")] for line in full.splitlines()]
    rows = {cells[1]: cells[2:-1] for cells in table if len(cells) > 3}
    assert rows["legwear"] == ["0", "0.0", "-"]
    assert rows["trousers"][0] == "4"
    assert float(rows["trousers"][1]) < 80
    assert float(rows["trousers"][2]) == 100
    assert float(rows["person labelled correctly"][1]) < float(rows["person labelled correctly"][2])
    assert rows["kept"][0] == "3"
    assert rows["a tagged garment not found"][0] == "1", "the bag"
    assert "| shoes | 0 |" in upper


@pytest.mark.parametrize(
    ("flags", "said"),
    [(["--aspect", "9"], "--aspect is 9"), (["--smooth", "4"], "odd"), (["--resolution", "2"], "from 32")],
)
def test_wrong_flags_of_the_measure(
    flags: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match="2"):
        pseudo_labels.main(["--input", str(tmp_path), *flags])
    assert said in capsys.readouterr().err
    with pytest.raises(SystemExit, match="is not Clothing Co-Parsing"):
        pseudo_labels.main(["--input", str(tmp_path)])
