"""The readers that are fuzzed: each takes any bytes and may raise nothing but a ValueError."""

from __future__ import annotations

import base64
import os
import struct
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from page.ui.painter import read_canvas

from groupdnet_hub import AppearanceCodes, LabelSet, PairedImages
from groupdnet_hub.baselines import system_from_json
from groupdnet_hub.data.label_maps import read_instance_map, read_label_map
from groupdnet_hub.io.images import read_photo
from groupdnet_hub.io.tensors import open_tensors
from groupdnet_hub.prepare.ccp import read_tag_map, read_tags
from groupdnet_hub.prepare.labels import CCP, ade20k_label_set
from groupdnet_hub.prepare.run import read_settings
from groupdnet_hub.prepare.work.journal import Journal

LABELS = LabelSet(("sky", "house", "road"), ((0, 0, 0), (255, 0, 0), (0, 255, 0)))
_PNG = b"\x89PNG\r\n\x1a\n"
_TAGS = tuple(CCP)
# Memory, where there is such a folder: a file is written for every case.
_FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))


def _file(name: str, data: bytes) -> Path:
    path = _FOLDER / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks have the checksums that they need, so that a mutated one is read further; else ``data``."""
    if not data.startswith(_PNG):
        return data
    parts, at = [_PNG], len(_PNG)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        body = data[at + 4 : at + 8 + length]
        parts.append(data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body)))
        at += 12 + length
    return b"".join(parts) + data[at:]


def config(data: bytes) -> None:
    """``config.json`` of any system."""
    read = system_from_json(data.decode("utf-8", "replace"))
    assert system_from_json(read.to_json()) == read


def label_map(data: bytes) -> None:
    """An uploaded label map."""
    ids = read_label_map(_file("map", with_checksums(data)), LABELS)
    assert ids.ndim == 2
    assert 0 <= ids.min() <= ids.max() < len(LABELS)


def instance_map(data: bytes) -> None:
    """An instance map of Cityscapes."""
    assert read_instance_map(_file("instance", with_checksums(data))).min() >= 0


def photo(data: bytes) -> None:
    """An uploaded photo."""
    assert read_photo(_file("photo", with_checksums(data))).mode == "RGB"


def codes(data: bytes) -> None:
    """A codes file."""
    read = AppearanceCodes.load(_file("codes.safetensors", data))
    assert len(read.tensor) == len(read.labels)


def weights(data: bytes) -> None:
    """The header of a weights file, and its tensors."""
    with open_tensors(_file("model.safetensors", data), "the file") as file:
        for key in file.shapes:
            assert tuple(file.read(key).shape) == file.shapes[key] or file.types[key].startswith("F4")


def canvas(data: bytes) -> None:
    """What a visitor's browser sends as the canvas: a data URL whose first byte says what is made of the rest."""
    if data[:1] == b"\x00":
        value = data[1:].decode("utf-8", "replace")
    else:
        value = "data:image/png;base64," + base64.b64encode(with_checksums(data[1:])).decode()
    assert read_canvas(value, LABELS, (4, 4)).shape == (4, 4)


def matlab_map(data: bytes) -> None:
    """A label map of Clothing Co-Parsing."""
    ids = read_tag_map(_file("map.mat", data), _TAGS, (4, 4))
    assert 0 <= ids.min() <= ids.max() < len(_TAGS)


def matlab_tags(data: bytes) -> None:
    """The tags of Clothing Co-Parsing."""
    assert read_tags(_file("label_list.mat", data))[0] == "null"


def classes(data: bytes) -> None:
    """``classes.json``."""
    assert len(LabelSet.from_file(_file("classes.json", data))) > 0


def class_table(data: bytes) -> None:
    """ADE20K's ``objectInfo150.txt``."""
    assert len(ade20k_label_set(_file("ade/objectInfo150.txt", data).parent)) == 151


def listing(data: bytes) -> None:
    """A data set's ``metadata.jsonl``, and its first pair of files."""
    _file("train/metadata.jsonl", data)
    pairs = PairedImages.from_folder(_FOLDER, (4, 4), labels=LABELS)
    pairs[0]


def journal(data: bytes) -> None:
    """What ``prepare.py`` left of a run that was stopped: its settings and its record of items."""
    _file("train/.prepare.json", data)
    _file("train/.prepare.jsonl", data)
    found = Journal(_FOLDER / "train")
    found.mend()
    found.read({"a"})
    if "a" in found:
        record = found.record("a")
        assert record.left_out is None or isinstance(record.left_out, str)
    found.close()
    assert isinstance(read_settings(_FOLDER / "train"), dict)


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        config,
        label_map,
        instance_map,
        photo,
        codes,
        weights,
        canvas,
        matlab_map,
        matlab_tags,
        classes,
        class_table,
        listing,
        journal,
    )
}


def run_one(name: str, data: bytes) -> bool:
    """Whether the reader took the bytes; a ValueError is a refusal, and any other exception is a fault."""
    try:
        TARGETS[name](data)
    except ValueError:
        return False
    return True
