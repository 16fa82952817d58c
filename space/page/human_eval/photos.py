"""The photos of the study that asks which of two pictures is the photo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from groupdnet_hub import LabelSet, PairedImages
from groupdnet_hub.data.labels import describe_difference
from groupdnet_hub.data.listing import FolderPairs
from groupdnet_hub.data.paired import read_label_set
from groupdnet_hub.io.images import tensor_to_picture

_SPLIT = "validation"


class Photos:
    """The photos of a data set's ``validation`` split with their label maps, at the sizes of several systems.

    Args:
        folder: of the data set, as ``train.py`` takes it.
        systems: classes and (height, width) of the systems, by name.

    Attributes:
        names: of the photos, in the split's folder.

    Raises:
        ValueError: for a folder that is none, and for systems of other classes.
    """

    def __init__(self, folder: str, systems: Mapping[str, tuple[LabelSet, tuple[int, int]]]) -> None:
        classes = read_label_set(folder, _SPLIT)
        for name, (labels, _) in systems.items():
            if labels.names != classes.names:
                its, models = describe_difference(classes.names, labels.names)
                raise ValueError(f"{folder} has photos of the {its}; {name} has the {models}")
        self._data = {
            name: PairedImages.from_folder(folder, size, split=_SPLIT, labels=classes, instances=False)
            for name, (_, size) in systems.items()
        }
        split = Path(folder) / _SPLIT
        files = (photo for photo, _, _ in FolderPairs([split]).pairs)
        self._places = {file.relative_to(split).as_posix(): place for place, file in enumerate(files)}
        self.names = list(self._places)

    def photo(self, name: str, system: str) -> Image.Image:
        """Return a photo at the size of a system's pictures."""
        return tensor_to_picture(self._data[system][self._places[name]]["image"])

    def label_map(self, name: str, system: str) -> np.ndarray:
        """Return its label map as that system takes it, int64 [H, W]."""
        label: np.ndarray = self._data[system][self._places[name]]["label"].numpy()
        return label
