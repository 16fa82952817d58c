"""Small raw data sets, in the layouts of their publishers, drawn by code."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from groupdnet_hub.data.figure_drawing import draw_figure
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.labels import label_picture


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def save(picture: Image.Image, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


def save_map(ids: np.ndarray, path: Path, dtype: type = np.uint8) -> Path:
    return save(Image.fromarray(np.asarray(ids).astype(dtype)), path)


def write_folder_pair(root: Path, count: int, size: tuple[int, int] = (48, 32)) -> tuple[Path, Path, Path]:
    """Drawn people: (pictures, label maps, classes.json)."""
    for i in range(count):
        picture, ids = draw_figure(i, size)
        save(picture, root / "pictures" / f"p{i:03d}.png")
        save(label_picture(ids, FIGURE_LABELS), root / "maps" / f"p{i:03d}.png")
    FIGURE_LABELS.to_file(root / "classes.json")
    return root / "pictures", root / "maps", root / "classes.json"


def folder_flags(root: Path, count: int) -> list[str]:
    """Drawn people, as ``prepare.py folder`` is told of them."""
    pictures, maps, classes = write_folder_pair(root, count)
    return ["folder", "--input", str(pictures), "--labels", str(maps), "--classes", str(classes)]


def ccp_person(tags: tuple[str, ...]) -> np.ndarray:
    """A person of 180 rows in Clothing Co-Parsing's tags, uint8 [200, 100]; what is where, see the test."""
    raw = np.zeros((200, 100), dtype=np.uint8)

    def put(tag: str, rows: tuple[int, int], columns: tuple[int, int]) -> None:
        raw[slice(*rows), slice(*columns)] = tags.index(tag)

    put("hair", (10, 18), (40, 60))
    put("skin", (18, 45), (40, 60))
    put("sunglasses", (22, 25), (40, 60))
    put("skin", (12, 30), (70, 75))  # a raised hand
    put("shirt", (45, 90), (30, 75))
    put("belt", (90, 94), (35, 65))
    put("pants", (94, 180), (35, 65))
    put("shoes", (180, 190), (35, 65))
    put("bag", (80, 120), (76, 90))
    put("null", (0, 0), (0, 0))
    raw[197, 2] = tags.index("coat")  # a slip of the brush
    return raw


def write_ccp(root: Path, tags: tuple[str, ...], maps: dict[str, np.ndarray]) -> Path:
    """Clothing Co-Parsing with these pixel-level annotations, and a photo with image-level tags only."""
    from scipy.io import savemat

    cells = np.empty((1, len(tags)), dtype=object)
    cells[0, :] = tags
    (root / "annotations" / "pixel-level").mkdir(parents=True)
    savemat(root / "label_list.mat", {"label_list": cells})
    (root / "LICENSE").write_text("Apache-2.0")
    for name, raw in maps.items():
        savemat(root / "annotations" / "pixel-level" / f"{name}.mat", {"groundtruth": raw})
        save(noise(*raw.shape, seed=int(name)), root / "photos" / f"{name}.jpg")
    save(noise(8, 8), root / "photos" / "2000.jpg")
    return root


def archive_of(folder: Path, commit: str) -> bytes:
    """The folder as GitHub serves it, and members that no unpacker should write."""
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT, pax_headers={"comment": commit}
    ) as tar:
        tar.add(folder, "repository")
        for name in ("../escaped.jpg", "repository/photos/../../../escaped.jpg", "/tmp/escaped.jpg"):
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"evil"))
        link = tarfile.TarInfo("repository/photos/9999.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("repository/show_pixel_anno.m"), io.BytesIO(b""))
    return buffer.getvalue()
