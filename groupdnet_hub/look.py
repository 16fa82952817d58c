"""A look: a picture with the codes and the label map that it was drawn from; and lists of looks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import SupportsIndex, overload

import numpy as np
from PIL import Image

from groupdnet_hub.codes import AppearanceCodes
from groupdnet_hub.config.groupdnet import GroupDNetConfig
from groupdnet_hub.data.label_maps import read_instance_map, read_label_map
from groupdnet_hub.data.labels import classes_present, describe_difference, label_picture
from groupdnet_hub.io.archives import archive_of, files_in, unpack
from groupdnet_hub.io.atomic import atomic_write, atomic_writes, names_in, saved_file
from groupdnet_hub.io.images import read_photo
from groupdnet_hub.io.strict_json import read_json
from groupdnet_hub.io.symlinks import check_link

_FORMAT = 1
_FILES = ("image.png", "mask.png", "codes.safetensors", "look.json", "instance.png")
# Of a look's files together; the largest codes that are read take half of it.
_MOST_BYTES = 2**29
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
        names = self.codes.labels.names
        if names != config.class_names:
            its, models = describe_difference(names, config.class_names)
            raise ValueError(
                f"this look is of another model: it has the {its}; this model has the {models}: use a model with the "
                "classes of the look"
            )
        differences = []
        codes_differ = tuple(self.codes.tensor.shape) != config.code_shape
        if codes_differ:
            its, models = (_sizes(shape[1:]) for shape in (self.codes.tensor.shape, config.code_shape))
            differences.append(f"its codes are {its} for each class, this model's {models}")
        if self.mask.shape != config.image_size and (codes_differ or not codes_only):
            its, models = _sizes(self.mask.shape), _sizes(config.image_size)
            differences.append(f"its picture is {its} (height x width), this model's are {models}")
        if differences:
            raise ValueError(
                f"this look is of another model with the same classes: {'; '.join(differences)}: use the model that "
                "made it"
                + ("" if codes_differ else ", or edit the look with a label map of this model's size")
            )

    def to_bytes(self) -> bytes:
        """Return the zip archive of what :meth:`save` writes.

        Raises:
            ValueError: for instance ids that do not fit 16 bits.
        """
        return archive_of(self._files())

    @classmethod
    def from_bytes(cls, archive: bytes, what: str = "the look", *, most_bytes: int = _MOST_BYTES) -> Look:
        """Read a look from the bytes that :meth:`to_bytes` returned.

        Args:
            archive: the bytes of the zip file.
            what: its name in messages.
            most_bytes: of its files together, unpacked; where they come from anyone, less may be fitting.

        Raises:
            ValueError: for an archive of anything else, or a damaged one.
        """
        files = files_in(archive, what, most_files=len(_FILES), most_bytes=most_bytes)
        return cls._from_files(files, what)

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
    def load(cls, path: str | os.PathLike[str]) -> Look:
        """Read a look that :meth:`save` wrote, a folder or a ``.zip``.

        Raises:
            ValueError: for a path that is not a saved look, or is damaged; the message names the file.
        """
        path = Path(path)
        if path.is_file():
            files = files_in(path, path.name, most_files=len(_FILES), most_bytes=_MOST_BYTES)
            return cls._from_files(files, path.name)
        return cls._load(path, str(path))

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
    def _from_files(cls, files: Mapping[str, bytes], what: str) -> Look:
        strange = sorted(set(files) - set(_FILES))
        if strange or "look.json" not in files:
            found = f"it holds {strange[0]!r}" if strange else "it has no look.json"
            raise ValueError(f"{what} is not a saved look: {found}")
        with TemporaryDirectory() as folder:
            unpack(files, Path(folder))
            return cls._load(Path(folder), what)

    @classmethod
    def _load(cls, folder: Path, what: str) -> Look:
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
        codes = AppearanceCodes.load(_own_file(folder, "codes.safetensors"))
        mask = read_label_map(_own_file(folder, "mask.png"), codes.labels)
        image = read_photo(_own_file(folder, "image.png"))
        if (image.height, image.width) != mask.shape:
            raise ValueError(f"image.png and mask.png in {what} have different sizes")
        instance = None
        instance_file = _own_file(folder, "instance.png")
        if facts.get("instance", True) and instance_file.is_file():
            instance = read_instance_map(instance_file, size=mask.shape)
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


def _png(picture: Image.Image) -> bytes:
    content = BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def _sizes(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape))


def _own_file(folder: Path, name: str) -> Path:
    """Return the path of a file of a saved look, refusing a link out of the folder."""
    path = saved_file(folder, name)
    check_link(path, folder, str(folder))
    return path
