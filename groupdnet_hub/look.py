"""A look: a picture with the codes and the label map that made it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from groupdnet_hub.codes import AppearanceCodes
from groupdnet_hub.images import read_photo
from groupdnet_hub.label_maps import read_instance_map, read_label_map
from groupdnet_hub.labels import classes_present, label_picture
from groupdnet_hub.links import check_link
from groupdnet_hub.strict_json import read_json

_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Look:
    """One picture and all that is needed to change it.

    Attributes:
        image: the picture, RGB.
        codes: its appearance.
        mask: int64 [H, W], its label map.
        seed: what the codes were drawn with last; None for codes of a photo.
        instance: int64 [H, W] instance ids, for models with instance edges.
    """

    image: Image.Image
    codes: AppearanceCodes
    mask: np.ndarray
    seed: int | None = None
    instance: np.ndarray | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that are on the label map, by id."""
        names = self.codes.labels.names
        return tuple(names[class_id] for class_id in classes_present(self.mask, len(names)))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``image.png``, ``mask.png``, ``codes.safetensors`` and ``look.json`` into ``folder``.

        The folder appears whole or not at all; a look that is already there is replaced.

        Raises:
            ValueError: for a folder that holds anything else, or instance ids that do not fit 16 bits.
        """
        folder = Path(folder)
        if self.instance is not None and self.instance.max() > 65535:
            raise ValueError(
                f"the instance map holds the id {self.instance.max()}; saved ids are 0 to 65535: number them anew"
            )
        if folder.exists() and (
            not folder.is_dir() or (any(folder.iterdir()) and not (folder / "look.json").is_file())
        ):
            raise ValueError(f"{folder} exists and is not a saved look: choose another folder")
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            self.image.save(partial / "image.png")
            label_picture(self.mask, self.codes.labels).save(partial / "mask.png")
            if self.instance is not None:
                Image.fromarray(self.instance.astype(np.uint16)).save(partial / "instance.png")
            self.codes.save(partial / "codes.safetensors")
            (partial / "look.json").write_text(json.dumps({"format": _FORMAT, "seed": self.seed}))
            partial.chmod(0o755)
            if folder.exists():
                old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
                os.replace(folder, old)
                os.replace(partial, folder)
                shutil.rmtree(old)
            else:
                os.replace(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Look:
        """Read what :meth:`save` wrote.

        Raises:
            ValueError: for a folder that is no saved look, or is damaged; the message names the file.
        """
        folder = Path(folder)
        for name in ("look.json", "codes.safetensors", "mask.png", "image.png", "instance.png"):
            check_link(folder / name, folder, str(folder))
        try:
            facts = read_json(folder / "look.json", "look.json")
        except (OSError, ValueError):
            raise ValueError(f"{folder} is not a saved look: it has no readable look.json") from None
        if not isinstance(facts, dict) or facts.get("format") != _FORMAT:
            raise ValueError(f"look.json in {folder} is not of format {_FORMAT}, the one this version reads")
        seed = facts.get("seed")
        if seed is not None and type(seed) is not int:
            raise ValueError(f"look.json in {folder} holds the seed {seed!r}, which is not a whole number")
        codes = AppearanceCodes.load(folder / "codes.safetensors")
        mask = read_label_map(folder / "mask.png", codes.labels)
        image = read_photo(folder / "image.png")
        if (image.height, image.width) != mask.shape:
            raise ValueError(f"image.png and mask.png in {folder} have different sizes")
        instance = None
        if (folder / "instance.png").is_file():
            instance = read_instance_map(folder / "instance.png", size=mask.shape)
        return cls(image, codes, mask, seed, instance)
