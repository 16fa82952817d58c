"""Folders, files and names that prepare.py does not find, or finds under nearly the same name."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub import LabelSet, PairedImages
from groupdnet_hub.prepare.photos import find_photos
from groupdnet_hub.prepare.tags import read_listed_tags
from tests.helpers.prepare_runs import prepare
from tests.helpers.raw_data import save

NFC, NFD = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8))


def raw_folder(root: Path, pictures: list[str], maps: list[str]) -> list[str]:
    for name in pictures:
        save(picture(), root / "pictures" / name)
    for name in maps:
        save(Image.new("L", (8, 8), 1), root / "maps" / name)
    LabelSet.from_names(["sky", "road"]).to_file(root / "classes.json")
    flags = {"--input": "pictures", "--labels": "maps", "--classes": "classes.json", "--output": "out"}
    return ["folder", *(str(part) for flag, name in flags.items() for part in (flag, root / name))]


@pytest.mark.parametrize("source", ["photos", "ccp", "cityscapes", "ade20k", "folder", "deepfashion"])
@pytest.mark.parametrize("there", [False, True])
def test_an_input_that_is_missing_or_empty_is_no_success(
    tmp_path: Path, source: str, there: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = raw_folder(tmp_path, ["a.png"], ["a.png"])[3:]
    paired = {"folder": flags[:4], "deepfashion": flags[:2]}.get(source, [])
    if there:
        (tmp_path / "absent").mkdir()
    assert prepare(source, "--input", tmp_path / "absent", *paired, "--output", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert str(tmp_path / "absent") in said
    assert there or "there is no folder" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--labels", "there is no folder"),
        ("--classes", "there is no file"),
        ("--instances", "there is no folder"),
    ],
)
def test_other_inputs_that_are_missing(
    tmp_path: Path, flag: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = raw_folder(tmp_path, ["a.png"], ["a.png"])
    assert prepare(*flags, flag, tmp_path / "absent") == 2
    assert f"{message} {tmp_path / 'absent'}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("flag", "what"), [("--parser", "folder"), ("--labels", "file")])
def test_parts_of_a_parser_that_are_missing(
    tmp_path: Path, flag: str, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save(picture(), tmp_path / "photos" / "a.png")
    absent = tmp_path / "absent"
    assert prepare("photos", "--input", tmp_path / "photos", "--output", tmp_path / "out", flag, absent) == 2
    assert f"{flag}: there is no {what} {absent}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "map_name"), [(NFC, NFD), (NFD, NFC)])
def test_names_in_two_normal_forms_belong_together(tmp_path: Path, name: str, map_name: str) -> None:
    assert prepare(*raw_folder(tmp_path, [f"{name}.jpg"], [f"{map_name}.png"])) == 0
    data = PairedImages.from_folder(tmp_path / "out", (8, 8))
    assert len(data) == 1
    assert int(data[0]["label"].min()) == 1


def test_names_in_other_case_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(*raw_folder(tmp_path, ["A.jpg", "b.png"], ["a.png", "b.png"])) == 1
    assert "A.jpg: has no label map; a.png differs in upper and lower case" in capsys.readouterr().out


def test_pictures_that_are_not_read_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = raw_folder(tmp_path, ["a.png"], ["a.png"])
    (tmp_path / "pictures" / "b.HEIC").touch()
    assert prepare(*flags) == 1
    assert "b.HEIC: is a .heic file, which is not read" in capsys.readouterr().out


def test_photos_of_one_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    for part in ("one", "two"):
        save(picture(), tmp_path / "photos" / part / "a.png")
    found = find_photos(tmp_path / "photos", tmp_path / "out", split="train", validation_fraction=0)
    assert [item.picture.parent.name for item in found.items] == ["one"]
    assert "would be written as a, as " in found.problems[0].reason


def test_tags_of_names_with_line_separators_and_of_another_normal_form(tmp_path: Path) -> None:
    lines = [{"file_name": f"x\\{NFD}\u2028.png", "tags": ["shirt"]}, {"file_name": "b.png"}]
    file = tmp_path / "metadata.jsonl"
    file.write_text(
        "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8-sig"
    )
    assert read_listed_tags(file) == {f"{NFC}\u2028": ("shirt",), "b": ()}
    file.write_text(file.read_text(encoding="utf-8-sig") + '{"file_name": "c/b.png", "tags": ["dress"]}\n')
    with pytest.raises(ValueError, match=r"line 3 of .* gives b other tags than an earlier line"):
        read_listed_tags(file)
    for encoding in ("utf-16", "latin-1"):
        file.write_bytes('{"file_name": "caf\u00e9.png"}\n'.encode(encoding))
        with pytest.raises(ValueError, match=r"metadata\.jsonl is .*: save it as UTF-8"):
            read_listed_tags(file)
