"""A look: a picture with the codes and the label map that it was drawn from; and lists of looks."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import SupportsIndex, overload

import numpy as np
from PIL import Image

from groupdnet_hub.codes import AppearanceCodes, codes_difference, read_codes_header
from groupdnet_hub.config.groupdnet import GroupDNetConfig
from groupdnet_hub.data.label_maps import read_instance_map, read_label_map
from groupdnet_hub.data.labels import LabelSet, classes_present, label_picture
from groupdnet_hub.io.archives import archive_of, files_in, unpack
from groupdnet_hub.io.atomic import atomic_write, atomic_writes, names_in, saved_file
from groupdnet_hub.io.headers import header_of
from groupdnet_hub.io.images import read_photo
from groupdnet_hub.io.strict_json import read_json
from groupdnet_hub.io.symlinks import check_link

_FORMAT = 1
_FILES = ("image.png", "mask.png", "codes.safetensors", "look.json", "instance.png")
# Of a look's files together; the largest codes that are read take half of it.
_MOST_BYTES = 2**29
# What is written about the classes of a model.
_ABOUT_CLASSES = 2**20
_NAMES_SHOWN = 8
# In a notebook.
_COLUMNS = 8
_PICTURES_SHOWN = 64


@dataclass(frozen=True, eq=False)
class Look:
    """One picture and all that is needed to change it.

    Attributes:
        image: RGB picture.
        codes: appearance of its classes.
        mask: int64 [H, W], label map.
        seed: seed of the last draw of codes; None for codes of a photo.
        instance: int64 [H, W], instance ids, for models with instance edges.
    """

    image: Image.Image
    codes: AppearanceCodes
    mask: np.ndarray
    seed: int | None = None
    instance: np.ndarray | None = None

    def __repr__(self) -> str:
        height, width = self.mask.shape
        seed = "" if self.seed is None else f", seed {self.seed}"
        shown = self.classes
        names = ", ".join(" ".join(name.split()) for name in shown[:_NAMES_SHOWN])
        more = f" and {len(shown) - _NAMES_SHOWN} more" if len(shown) > _NAMES_SHOWN else ""
        return f"Look({height}x{width}{seed}: {names}{more})"

    def _repr_png_(self) -> bytes:
        """Return the picture as a notebook shows it."""
        return _png(self.image)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that are on the label map, by id."""
        names = self.codes.labels.names
        return tuple(names[class_id] for class_id in classes_present(self.mask, len(names)))

    def check_fits(self, config: GroupDNetConfig, *, codes_only: bool = False) -> None:
        """Refuse a look that a model of this configuration cannot draw.

        Args:
            config: configuration of the model.
            codes_only: whether only its codes are used, with a label map of the model, so that the size of its own
                picture and map has no effect.

        Raises:
            ValueError: for a look of other classes, codes of another shape and, unless ``codes_only``, a picture of
                another size; the message names both.
        """
        shape, size = tuple(self.codes.tensor.shape), self.mask.shape
        _check_fits(self.codes.labels, shape, size, config, codes_only=codes_only)

    def to_bytes(self) -> bytes:
        """Return the zip archive of what :meth:`save` writes.

        Raises:
            ValueError: for instance ids that do not fit 16 bits.
        """
        return archive_of(self._files())

    @classmethod
    def from_bytes(
        cls, archive: bytes, what: str = "the look", *, config: GroupDNetConfig | None = None
    ) -> Look:
        """Read a look from the bytes that :meth:`to_bytes` returned.

        Args:
            archive: the bytes of the zip file.
            what: its name in messages.
            config: configuration of the model that it is for; what that model cannot draw is refused before it is
                decoded.

        Raises:
            ValueError: for an archive of anything else, a damaged one, and as :meth:`check_fits`.
        """
        return cls._from_files(_files_of(archive, what, config), what, config)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``image.png``, ``mask.png``, ``codes.safetensors`` and ``look.json`` into a folder, or a ``.zip``.

        They appear together or not at all; an existing look is replaced.

        Args:
            path: of the folder; one that ends with ``.zip`` becomes one file, a zip archive of the same files.

        Raises:
            ValueError: for a folder that holds anything else, or instance ids that do not fit 16 bits.
            CannotWriteError: for a full disk, a read-only folder and the like; an existing look stays.
        """
        path, files = Path(path), self._files()
        if path.suffix.lower() == ".zip" and not path.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as partial:
                partial.write_bytes(archive_of(files))
            return
        if path.exists() and (
            not path.is_dir() or (names_in(path) and not saved_file(path, "look.json").is_file())
        ):
            raise ValueError(f"{path} exists and is not a saved look: choose another folder")
        with atomic_writes(path) as partial:
            unpack(files, partial)
        if self.instance is None:  # one of the replaced look
            (path / "instance.png").unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str], config: GroupDNetConfig | None = None) -> Look:
        """Read a look that :meth:`save` wrote, a folder or a ``.zip``.

        Args:
            path: of the folder or the archive.
            config: as of :meth:`from_bytes`.

        Raises:
            ValueError: for a path that is not a saved look, or is damaged; the message names the file. With ``config``
                also as :meth:`check_fits`.
        """
        path = Path(path)
        if path.is_file():
            return cls._from_files(_files_of(path, path.name, config), path.name, config)
        return cls._load(path, str(path), config)

    def _files(self) -> dict[str, bytes]:
        """Return what is saved, by file name."""
        if self.instance is not None and self.instance.max() > 65535:
            raise ValueError(
                f"the instance map holds the id {self.instance.max()}; saved ids are 0 to 65535: renumber them"
            )
        facts = {"format": _FORMAT, "seed": self.seed, "instance": self.instance is not None}
        files = {
            "image.png": _png(self.image),
            "mask.png": _png(label_picture(self.mask, self.codes.labels)),
            "codes.safetensors": self.codes.to_bytes(),
            "look.json": json.dumps(facts).encode(),
        }
        if self.instance is not None:
            files["instance.png"] = _png(Image.fromarray(self.instance.astype(np.uint16)))
        return files

    @classmethod
    def _from_files(cls, files: Mapping[str, bytes], what: str, config: GroupDNetConfig | None) -> Look:
        strange = sorted(set(files) - set(_FILES))
        if strange or "look.json" not in files:
            found = f"it holds {strange[0]!r}" if strange else "it has no look.json"
            raise ValueError(f"{what} is not a saved look: {found}")
        with TemporaryDirectory() as folder:
            unpack(files, Path(folder))
            return cls._load(Path(folder), what, config)

    @classmethod
    def _load(cls, folder: Path, what: str, config: GroupDNetConfig | None) -> Look:
        facts_file = _own_file(folder, "look.json")
        try:
            facts = read_json(facts_file, "look.json")
        except (OSError, ValueError):
            raise ValueError(f"{what} is not a saved look: it has no readable look.json") from None
        if not isinstance(facts, dict) or facts.get("format") != _FORMAT:
            raise ValueError(f"look.json in {what} is not of format {_FORMAT}, the one this version reads")
        seed = facts.get("seed")
        if seed is not None and type(seed) is not int:
            raise ValueError(f"look.json in {what} holds the seed {seed!r}, which is not a whole number")
        codes_file, mask_file, image_file, instance_file = (
            _own_file(folder, name) for name in ("codes.safetensors", "mask.png", "image.png", "instance.png")
        )
        has_instance = facts.get("instance", True) and instance_file.is_file()
        # Headers first: a picture of 4096 x 4096 pixels takes a few kilobytes in its file.
        size = _size_in(mask_file)
        if size is not None and config is not None:
            _check_fits(*read_codes_header(codes_file), size, config)
        for file in (image_file, instance_file) if has_instance else (image_file,):
            if size is not None and _size_in(file) not in (size, None):
                raise ValueError(f"{file.name} and mask.png in {what} have different sizes")
        codes = AppearanceCodes.load(codes_file, config)
        mask = read_label_map(mask_file, codes.labels)
        image = read_photo(image_file)
        instance = read_instance_map(instance_file, size=mask.shape) if has_instance else None
        return cls(image, codes, mask, seed, instance)


class Looks(list[Look]):
    """A list of looks. A notebook shows their pictures side by side, up to 64 of them."""

    @property
    def images(self) -> list[Image.Image]:
        """Their pictures."""
        return [look.image for look in self]

    def grid(self, columns: int | None = None, *, gap: int = 4) -> Image.Image:
        """Return the pictures in rows on white.

        Args:
            columns: how many pictures a row has; by default up to 8.
            gap: pixels between the pictures.

        Raises:
            ValueError: where there is no look, and for fewer than one column.
        """
        if not self:
            raise ValueError("there are no looks to show")
        if columns is not None and columns < 1:
            raise ValueError(f"columns is {columns}; it must be at least 1")
        columns = min(columns or _COLUMNS, len(self))
        rows = -(-len(self) // columns)
        width = max(look.image.width for look in self) + gap
        height = max(look.image.height for look in self) + gap
        sheet = Image.new("RGB", (columns * width - gap, rows * height - gap), "white")
        for place, look in enumerate(self):
            sheet.paste(look.image, (place % columns * width, place // columns * height))
        return sheet

    def _repr_png_(self) -> bytes | None:
        """Return the pictures as a notebook shows them; none where there are none."""
        return _png(Looks(self[:_PICTURES_SHOWN]).grid()) if self else None

    @overload
    def __getitem__(self, place: SupportsIndex) -> Look: ...

    @overload
    def __getitem__(self, place: slice) -> Looks: ...

    def __getitem__(self, place: SupportsIndex | slice) -> Look | Looks:
        """Return one look, or some of them as :class:`Looks` too."""
        found = super().__getitem__(place)
        return Looks(found) if isinstance(found, list) else found


def _check_fits(
    labels: LabelSet,
    shape: tuple[int, ...],
    size: tuple[int, ...],
    config: GroupDNetConfig,
    *,
    codes_only: bool = False,
) -> None:
    """Refuse a look of these codes and this size as :meth:`Look.check_fits` does."""
    codes_differ = codes_difference(labels.names, shape, config, "this look")
    differences = [codes_differ] if codes_differ else []
    if size != config.image_size and (codes_differ or not codes_only):
        its, models = ("x".join(map(str, one)) for one in (size, config.image_size))
        differences.append(f"its picture is {its} (height x width), this model's are {models}")
    if differences:
        raise ValueError(
            f"this look is of another model with the same classes: {'; '.join(differences)}: use the model that "
            "made it" + ("" if codes_differ else ", or edit the look with a label map of this model's size")
        )


def _files_of(source: bytes | Path, what: str, config: GroupDNetConfig | None) -> dict[str, bytes]:
    """Return the files of an archive, which may take twice what those of a model's look take uncompressed."""
    most = _MOST_BYTES
    if config is not None:
        pixels, values = math.prod(config.image_size), math.prod(config.code_shape)
        most = 2 * (10 * pixels + 4 * values) + _ABOUT_CLASSES
    return files_in(source, what, most_files=len(_FILES), most_bytes=most)


def _size_in(file: Path) -> tuple[int, int] | None:
    """Return (height, width) of a picture, upright, without decoding it; None for one whose reader will refuse it."""
    header = header_of(file)
    return None if header is None else header.upright


def _png(picture: Image.Image) -> bytes:
    content = BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def _own_file(folder: Path, name: str) -> Path:
    """Return the path of a file of a saved look, refusing a link out of the folder."""
    path = saved_file(folder, name)
    check_link(path, folder, str(folder))
    return path
