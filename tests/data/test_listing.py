"""Listings and class files of data sets: encodings, line ends, names on disk, and folders that are not splits."""

from __future__ import annotations

import codecs
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub import LabelSet, PairedImages, StreamedImages
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.listing import FolderPairs, RowPairs
from groupdnet_hub.data.paired import read_label_set
from groupdnet_hub.data.splits import open_split
from groupdnet_hub.io.strict_json import MAX_LINE_BYTES, json_line, read_json_lines
from groupdnet_hub.runs.settings import refuse_other_folders

# All characters at which str.splitlines splits and json.dumps may leave as they are, but the line feed.
SPLITTERS = ["\x85", "\u2028", "\u2029"]
E_ACUTE = {form: unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD")}


def write_split(root: Path, names: list[str], split: str = "train") -> Path:
    """A split with a picture and a label map of each name, without its listing."""
    folder = root / split
    for name in names:
        for part in ("images", "labels"):
            file = folder / part / f"{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            mode = "RGB" if part == "images" else "L"
            Image.new(mode, (8, 8)).save(file)
    FIGURE_LABELS.to_file(root / "classes.json")
    return folder


def entry(name: str) -> dict[str, str]:
    return {"file_name": f"images/{name}.png", "label_file_name": f"labels/{name}.png"}


def listed(folder: Path, *names: str, dumps: Callable[..., str] = json.dumps) -> Path:
    text = "".join(dumps(entry(name), ensure_ascii=False) + "\n" for name in names)
    (folder / "metadata.jsonl").write_bytes(text.encode())
    return folder / "metadata.jsonl"


@pytest.mark.parametrize("character", SPLITTERS)
def test_only_line_feeds_end_a_line(tmp_path: Path, character: str) -> None:
    names = [f"a{character}b", "plain"]
    listed(write_split(tmp_path, names), *names)
    data = PairedImages.from_folder(tmp_path, (8, 8))
    assert len(data) == 2
    assert data[0]["label"].shape == data[1]["label"].shape == (8, 8)


@pytest.mark.parametrize("character", [*SPLITTERS, "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\n", "\r"])
def test_written_lines_are_lines_for_all(tmp_path: Path, character: str) -> None:
    """Also for programs that split text as Python does, and with names that are no valid text."""
    values = [{"file_name": f"a{character}b"}, {"file_name": "caf\u00e9 \udce9"}]
    text = "".join(map(json_line, values))
    assert [json.loads(line) for line in text.splitlines()] == values
    assert "caf\u00e9" in text
    (tmp_path / "lines").write_text(text, encoding="utf-8")
    assert [value for _, value in read_json_lines(tmp_path / "lines")] == values


def test_windows_line_ends_blank_lines_and_byte_order_marks(tmp_path: Path) -> None:
    listing = listed(write_split(tmp_path, ["a", "b"]), "a", "b")
    lines = listing.read_bytes()
    first = FolderPairs([tmp_path / "train"]).pairs
    for content in (
        lines.replace(b"\n", b"\r\n"),
        lines.replace(b"\n", b"\n\n"),
        codecs.BOM_UTF8 + lines,
        lines.replace(b"\n", b"\n" + codecs.BOM_UTF8, 1),  # two files, one after the other
        lines.rstrip(),
    ):
        listing.write_bytes(content)
        assert FolderPairs([tmp_path / "train"]).pairs == first


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("utf-16", "is UTF-16 text: save it as UTF-8"),
        ("utf-32", "is UTF-32 text: save it as UTF-8"),
        ("utf-16-le", "holds zero bytes, as UTF-16 text does: save it as UTF-8"),
        ("utf-16-be", "holds zero bytes"),
        ("latin-1", "is not UTF-8 text"),
    ],
)
def test_other_encodings_are_refused_by_the_files_name(tmp_path: Path, encoding: str, message: str) -> None:
    listing = listed(write_split(tmp_path, ["caf\u00e9"]), "caf\u00e9")
    listing.write_bytes(listing.read_text(encoding="utf-8").encode(encoding))
    with pytest.raises(ValueError, match=message) as refused:
        PairedImages.from_folder(tmp_path, (8, 8))
    assert str(listing) in str(refused.value)

    classes = tmp_path / "train" / "classes.json"
    text = json.dumps({"classes": [{"id": 0, "name": "caf\u00e9", "color": [0, 0, 0]}]}, ensure_ascii=False)
    classes.write_bytes(text.encode(encoding))
    with pytest.raises(ValueError, match=message) as refused:
        LabelSet.from_file(classes)
    assert str(classes) in str(refused.value)


def test_class_files_with_a_byte_order_mark(tmp_path: Path) -> None:
    FIGURE_LABELS.to_file(tmp_path / "classes.json")
    content = (tmp_path / "classes.json").read_bytes()
    (tmp_path / "classes.json").write_bytes(codecs.BOM_UTF8 + content.replace(b"\n", b"\r\n"))
    assert LabelSet.from_file(tmp_path / "classes.json") == FIGURE_LABELS


def test_a_long_line_is_refused_unread(tmp_path: Path) -> None:
    listing = listed(write_split(tmp_path, ["a"]), "a")
    with listing.open("r+b") as file:
        file.seek(0, 2)
        file.truncate(500 * 2**20)  # zeros, which take no room on the disk
    with pytest.raises(
        ValueError, match=rf"line 2 of .*metadata\.jsonl is longer than {MAX_LINE_BYTES} bytes"
    ):
        PairedImages.from_folder(tmp_path, (8, 8))
    listing.write_text(json.dumps(entry("a") | {"caption": "x" * (MAX_LINE_BYTES - 200)}) + "\n")
    assert len(PairedImages.from_folder(tmp_path, (8, 8))) == 1


@pytest.mark.parametrize(
    "line", ["[]", "3", '"a"', "{", '{"file_name": "a"}', '{"file_name": "a", "file_name": "b"}', "[" * 9000]
)
def test_lines_of_another_form_are_named(tmp_path: Path, line: str) -> None:
    listing = listed(write_split(tmp_path, ["a"]), "a")
    with listing.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match=r"line 2 of .*metadata\.jsonl"):
        PairedImages.from_folder(tmp_path, (8, 8))


# -- names on disk ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("on_disk", "named"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_names_in_another_normal_form_are_found(tmp_path: Path, on_disk: str, named: str) -> None:
    name = f"{{0}}/{{0}} of {E_ACUTE['NFC']}".format
    listed(write_split(tmp_path, [name(E_ACUTE[on_disk])]), name(E_ACUTE[named]))
    assert PairedImages.from_folder(tmp_path, (8, 8))[0]["label"].shape == (8, 8)


def test_the_exact_name_wins_and_two_others_are_ambiguous(tmp_path: Path) -> None:
    forms = ["\u1e69", "s\u0323\u0307"]  # an s with two dots, composed and decomposed
    third = "s\u0307\u0323"
    folder = write_split(tmp_path, forms)
    listed(folder, *forms)
    pairs = FolderPairs([folder]).pairs
    assert [pair[0].stem for pair in pairs] == forms
    listed(folder, third)
    with pytest.raises(ValueError, match="does not exist; there is"):
        PairedImages.from_folder(tmp_path, (8, 8))[0]


def test_backslashes_of_windows_separate_folders(tmp_path: Path) -> None:
    folder = write_split(tmp_path, ["a", "caf\u00e9"])
    lines = [
        {key: value.replace("/", "\\") for key, value in entry(name).items()}
        for name in ("a", E_ACUTE["NFD"])
    ]
    (folder / "metadata.jsonl").write_text("".join(map(json_line, lines)), encoding="utf-8")
    data = PairedImages.from_folder(tmp_path, (8, 8))
    assert data[0]["label"].shape == data[1]["label"].shape == (8, 8)


@pytest.mark.parametrize(
    "name", ["..\\a.png", "images\\..\\..\\a.png", "\\etc\\a.png", "/a.png", "../a.png", "\ud800.png", "", 3]
)
def test_names_outside_the_folder_are_refused(tmp_path: Path, name: object) -> None:
    folder = write_split(tmp_path, ["a"])
    (folder / "metadata.jsonl").write_text(json.dumps({**entry("a"), "file_name": name}) + "\n")
    with pytest.raises(ValueError, match=r"line 1 of .* names the file"):
        PairedImages.from_folder(tmp_path, (8, 8))


def test_a_name_in_other_case_is_told(tmp_path: Path) -> None:
    folder = write_split(tmp_path, ["a"])
    if (folder / "images" / "A.PNG").exists():
        pytest.skip("this file system knows no case")
    for name, near in (("images/A.PNG", "a.png"), ("Images/a.png", "images/a.png")):
        (folder / "metadata.jsonl").write_text(json.dumps({**entry("a"), "file_name": name}) + "\n")
        with pytest.raises(ValueError, match=f"does not exist; there is '{near}'"):
            PairedImages.from_folder(tmp_path, (8, 8))[0]


def test_a_picture_may_be_listed_twice(tmp_path: Path) -> None:
    listed(write_split(tmp_path, ["a"]), "a", "a")
    assert len(PairedImages.from_folder(tmp_path, (8, 8))) == 2


# -- folders ---------------------------------------------------------------------------------------------------------


def test_a_split_in_place_of_its_parent(tmp_path: Path) -> None:
    data = tmp_path / "data"
    listed(write_split(data, ["a"]), "a")
    told = rf"it is itself the split train of a data set; name the folder of the data set, {data}$"
    with pytest.raises(ValueError, match=told):
        PairedImages.from_folder(data / "train", (8, 8))
    with pytest.raises(ValueError, match=told):
        read_label_set(data / "train")
    with pytest.raises(
        ValueError,
        match=rf"--data_dir: there is no metadata.jsonl in .*: there is no folder validation in .*{told}",
    ):
        refuse_other_folders("--data_dir", data / "train", "validation")


def test_a_parent_in_place_of_its_split(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        listed(write_split(tmp_path, ["a"], split), "a")
    with pytest.raises(
        ValueError, match=rf"the splits train, validation; name one of them, such as {tmp_path}/train"
    ):
        open_split(tmp_path, FIGURE_LABELS, (8, 8))
    with pytest.raises(
        ValueError, match=r"there is no folder test in .*: it has the splits train, validation"
    ):
        PairedImages.from_folder(tmp_path, (8, 8), split="test")


def test_missing_folders_and_files_in_their_place(tmp_path: Path) -> None:
    for read in (read_label_set, lambda folder: PairedImages.from_folder(folder, (8, 8))):
        with pytest.raises(ValueError, match=rf"there is no folder {tmp_path / 'nosuch'}"):
            read(tmp_path / "nosuch")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file is a file, not the folder of a data set"):
        PairedImages.from_folder(tmp_path / "file", (8, 8))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"there is no folder train in .*empty, nor another split"):
        PairedImages.from_folder(tmp_path / "empty", (8, 8))


# -- instance maps ---------------------------------------------------------------------------------------------------


def with_instances(folder: Path, names: list[str], having: list[str]) -> None:
    (folder / "instances").mkdir(exist_ok=True)
    lines = []
    for name in names:
        line = entry(name)
        if name in having:
            line["instance_file_name"] = f"instances/{name}.png"
            Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(
                folder / line["instance_file_name"]
            )
        lines.append(line)
    (folder / "metadata.jsonl").write_text("".join(map(json_line, lines)))


def test_files_of_which_some_have_instance_maps(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d", "e"]
    with_instances(write_split(tmp_path, names), names, ["b"])
    with pytest.raises(
        ValueError,
        match=r"4 of 5 items have no instance map .*: train/images/a\.png, .*train/images/d\.png, \.\.\.\. Give all",
    ):
        PairedImages.from_folder(tmp_path, (8, 8))
    with pytest.raises(
        ValueError, match="this model draws instance edges: 4 of 5 items have no instance map"
    ):
        PairedImages.from_folder(tmp_path, (8, 8), instances=True)
    without = PairedImages.from_folder(tmp_path, (8, 8), instances=False)
    assert all(set(without[i]) == {"image", "label"} for i in range(5))
    with_instances(tmp_path / "train", names, names)
    assert "instance" in PairedImages.from_folder(tmp_path, (8, 8))[4]
    assert "instance" in PairedImages.from_folder(tmp_path, (8, 8), instances=True)[4]
    assert "instance" not in PairedImages.from_folder(tmp_path, (8, 8), instances=False)[4]


def rows(having: list[bool]) -> list[dict[str, Image.Image | None]]:
    """Rows of a table, some with an instance map; its column may be empty, as in a table of ``datasets``."""
    picture, label = Image.new("RGB", (8, 8)), Image.new("L", (8, 8))
    return [{"image": picture, "label": label, "instance": label if one else None} for one in having]


def read_rows(having: list[bool], instances: bool | None) -> list[set[str]]:
    data = PairedImages(RowPairs(rows(having), "image", "label"), FIGURE_LABELS, (8, 8), instances=instances)
    return [set(data[i]) for i in range(len(having))]


def read_stream(having: list[bool], instances: bool | None) -> list[set[str]]:
    return [set(item) for item in StreamedImages(rows(having), FIGURE_LABELS, (8, 8), instances=instances)]


@pytest.mark.parametrize("read", [read_rows, read_stream])
def test_rows_of_which_some_have_instance_maps(
    read: Callable[[list[bool], bool | None], list[set[str]]],
) -> None:
    parts = {"image", "label"}
    assert read([True, False], False) == read([False, False], None) == [parts] * 2
    assert read([True, True], None) == read([True, True], True) == [parts | {"instance"}] * 2
    for having, wanted, message in (
        ([True, False], None, "item 1.* has no instance map, unlike the first one: give all one, or none"),
        ([False, True], None, "item 1.* has an instance map, unlike the first one: give all one, or none"),
        ([True, False], True, "item 1.* has no instance map: this model draws instance edges"),
        ([False, False], True, "item 0.* has no instance map: this model draws instance edges"),
    ):
        with pytest.raises(ValueError, match=message):
            read(having, wanted)
