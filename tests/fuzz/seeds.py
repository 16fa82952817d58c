"""Valid files, from which others are mutated, and small files that ask for much memory or time."""

from __future__ import annotations

import io
import json
import zlib

import numpy as np
from PIL import Image
from safetensors.numpy import save
from scipy.io import savemat

from groupdnet_hub import GroupDNetConfig
from groupdnet_hub.baselines import system_config
from groupdnet_hub.data.labels import colour_picture, label_picture
from tests.fuzz.targets import LABELS

_DEEP = b"[" * 100_000
IDS = np.arange(16).reshape(4, 4) % 3


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    """A picture as a file's bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def matlab(compress: bool, **values: object) -> bytes:
    """A .mat file with the date in its header left out."""
    buffer = io.BytesIO()
    savemat(buffer, values, do_compression=compress)
    return b"MATLAB 5.0 MAT-file".ljust(124) + buffer.getvalue()[124:]


def seeds() -> dict[str, dict[str, bytes]]:
    """Valid files: contents by target and name."""
    grouped = GroupDNetConfig.for_labels(LABELS, (8, 8), 1)
    bicycle = system_config("BicycleGAN", LABELS, (32, 32), 1)
    indexed, coloured = label_picture(IDS, LABELS), colour_picture(IDS, LABELS)
    grey16 = Image.fromarray(IDS.astype(np.uint16))
    labels = json.dumps({"names": LABELS.names, "palette": LABELS.palette})
    tensor = np.zeros((3, 1, 1, 1), np.float32)
    classes = [
        {"id": i, "name": n, "color": c}
        for i, (n, c) in enumerate(zip(LABELS.names, LABELS.palette, strict=True))
    ]
    line = {"file_name": "a.jpg", "label_file_name": "a.png", "instance_file_name": "i.png"}
    record = {"name": "a", "entry": None, "left_out": "gloves", "counts": {}}
    tags = np.array([["null"], ["hair"]], dtype=object)
    return {
        "config": {
            "groupdnet.json": grouped.to_json().encode(),
            "bicyclegan.json": json.dumps(bicycle.to_dict()).encode(),
            "spade.json": json.dumps(system_config("VSPADE", LABELS, (8, 8), 1).to_dict()).encode(),
        },
        "label_map": {
            "index.png": encoded(indexed, "PNG"),
            "colours.png": encoded(coloured, "PNG"),
            "colours.gif": encoded(indexed, "GIF"),
            "colours.bmp": encoded(coloured, "BMP"),
            "colours.tiff": encoded(coloured, "TIFF"),
            "colours.webp": encoded(coloured, "WEBP", lossless=True),
        },
        "instance_map": {"grey16.png": encoded(grey16, "PNG"), "grey16.tiff": encoded(grey16, "TIFF")},
        "photo": {
            "photo.jpg": encoded(coloured, "JPEG"),
            "photo.png": encoded(coloured.convert("RGBA"), "PNG"),
            "cmyk.tiff": encoded(coloured.convert("CMYK"), "TIFF"),
            "palette.gif": encoded(indexed, "GIF", transparency=0),
        },
        "codes": {
            "codes.safetensors": save({"codes": tensor}, {"format": "groupdnet-codes-1", "labels": labels})
        },
        "weights": {"two.safetensors": save({"a": tensor, "b": tensor.astype(np.float16)}, {"format": "pt"})},
        "canvas": {
            "map": b"\x01" + encoded(coloured, "PNG"),
            "text": b"\x00data:image/png;base64,aGVsbG8=",
        },
        "matlab_map": {
            "plain.mat": matlab(False, groundtruth=IDS.astype(np.uint8)),
            "packed.mat": matlab(True, groundtruth=IDS.astype(np.float64)),
        },
        "matlab_tags": {
            "plain.mat": matlab(False, label_list=tags),
            "packed.mat": matlab(True, label_list=tags),
        },
        "classes": {"classes.json": json.dumps({"num_classes": 3, "classes": classes}).encode()},
        "class_table": {
            "names.txt": b"".join(b"%d\t0.1\t2\t3\tname %d, other\n" % (i, i) for i in range(1, 151))
        },
        "listing": {"metadata.jsonl": json.dumps(line).encode() + b"\n\n" + json.dumps(line).encode()},
        "journal": {"done.jsonl": json.dumps(record).encode() + b"\n", "settings.json": b'{"source": "ccp"}'},
    }


def bombs() -> dict[str, dict[str, bytes]]:
    """Small files that ask for much memory or time, by target and name."""
    matrix = matlab(False, groundtruth=IDS.astype(np.uint8))
    values = bytes(2**26)  # behind those that the matrix should have
    lengthened = (14).to_bytes(4, "little") + (len(matrix) - 136 + len(values)).to_bytes(4, "little")
    packed = zlib.compress(lengthened + matrix[136:] + values, 9)
    bomb = matrix[:128] + (15).to_bytes(4, "little") + len(packed).to_bytes(4, "little") + packed
    return {
        "config": {
            "deep": _DEEP,
            "digits": b'{"fc_channels": ' + b"9" * 5000 + b"}",
            "list-as-system": b'{"system": []}',
        },
        "classes": {"deep": b'{"classes":' + _DEEP},
        "listing": {"deep": _DEEP, "number-as-name": b'{"file_name": 1, "label_file_name": 2}'},
        "journal": {"deep": _DEEP + b"\n"},
        "weights": {"header-of-2-to-60": (2**60).to_bytes(8, "little") + b"{}"},
        "codes": {
            "deep-labels": save(
                {"codes": np.zeros((3, 1, 1, 1), np.float32)},
                {"format": "groupdnet-codes-1", "labels": _DEEP.decode()},
            ),
            "wrong-type": save(
                {"codes": np.zeros((3, 1, 1, 1), np.int8)},
                {"format": "groupdnet-codes-1", "labels": '{"names": ["a"], "palette": [[0,0,0]]}'},
            ),
        },
        "matlab_map": {"bomb.mat": bomb},
    }
