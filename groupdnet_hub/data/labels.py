"""Label sets, and operations on label maps."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from groupdnet_hub.config.names import listed, readable
from groupdnet_hub.config.presets import dont_care_class, free_colour, numbered_palette
from groupdnet_hub.config.validation import Ignored, as_ignored, as_sequence, check_classes
from groupdnet_hub.io.atomic import atomic_write
from groupdnet_hub.io.strict_json import read_json, shown

# In a message: an untrusted file may name thousands.
_NAMES_SHOWN = 20


@dataclass(frozen=True)
class LabelSet:
    """The classes of a label map.

    Attributes:
        names: unique name of each class; the position is the class id.
        palette: unique RGB colour (0..255) of each class.
        ignore: ids (0..65535) and RGB colours that stand for "unknown" in label maps, such as 255. Unknown pixels
            count in no loss and no measure, and are drawn as the don't-care class or the nearest class. Pixels of an
            id that is a class are unknown and are drawn as this class.

    Raises:
        ValueError: for a set that is empty, names that :func:`check_class_names` refuses, and colours that are not
            unique.
    """

    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    ignore: tuple[Ignored, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(as_sequence(self.names, "names")))
        palette = as_sequence(_without_numpy(self.palette), "palette")
        colours = (tuple(map(_without_numpy, as_sequence(_without_numpy(c), "a colour"))) for c in palette)
        object.__setattr__(self, "palette", tuple(colours))
        check_classes(self.names, self.palette, len(self.names))
        object.__setattr__(self, "ignore", as_ignored(_without_numpy(self.ignore), self.palette))

    @property
    def ignored_ids(self) -> tuple[int, ...]:
        """The ids that stand for "unknown"."""
        return tuple(value for value in self.ignore if isinstance(value, int))

    @property
    def ignored_colours(self) -> tuple[tuple[int, int, int], ...]:
        """The colours that stand for "unknown"."""
        return tuple(value for value in self.ignore if not isinstance(value, int))

    @property
    def dont_care(self) -> int | None:
        """The class that unknown pixels are drawn as: an ignored one, or the preset's own; None for neither."""
        return dont_care_class(self.names, self.ignore)

    @property
    def unknown_id(self) -> int | None:
        """The id of unknown pixels in written label maps: the lowest ignored one that is not a class; None for none."""
        return min((value for value in self.ignored_ids if value >= len(self)), default=None)

    @property
    def unknown_colour(self) -> tuple[int, int, int]:
        """The colour of unknown pixels in written label maps: the first ignored one, or one that no class has."""
        return next(iter(self.ignored_colours), None) or free_colour(self.palette)

    @classmethod
    def from_names(cls, names: Sequence[str]) -> LabelSet:
        """Build a label set with distinct colours."""
        names = as_sequence(names, "names")
        return cls(tuple(names), numbered_palette(len(names)))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> LabelSet:
        """Read ``classes.json``: ``{"classes": [{"id": 0, "name": "sky", "color": [0, 0, 0]}, ...]}``.

        A key ``ignore`` may list ids and colours that stand for "unknown": ``"ignore": [255, [224, 224, 192]]``.

        Raises:
            ValueError: for a file that is missing or is not of this form.
        """
        path = Path(path)
        if not path.is_file():
            raise ValueError(f"there is no file {path}")
        content = read_json(path, str(path))
        try:
            classes = sorted(content["classes"], key=lambda c: c["id"])
            ids = [entry["id"] for entry in classes]
            names, colours = [entry["name"] for entry in classes], [entry["color"] for entry in classes]
        except (KeyError, TypeError) as error:
            raise ValueError(
                f'{path.name} is not a list of classes, {{"classes": [{{"id": 0, "name": ..., "color": [r, g, b]}}, '
                f"...]}}: {error!r}"
            ) from None
        if ids != list(range(len(ids))):
            raise ValueError(
                f"{path.name} has the class ids {ids[:10]}...; they must be 0, 1, 2, ... without gaps"
            )
        try:
            return cls(tuple(names), tuple(colours), content.get("ignore", ()))
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from None

    def to_file(self, path: str | os.PathLike[str]) -> None:
        """Write a file for :meth:`from_file`, atomically."""
        classes = [
            {"id": i, "name": name, "color": list(colour)}
            for i, (name, colour) in enumerate(zip(self.names, self.palette, strict=True))
        ]
        content: dict[str, Any] = {"num_classes": len(self), "classes": classes}
        if self.ignore:
            content["ignore"] = self.ignore
        with atomic_write(path) as partial:
            partial.write_text(json.dumps(content, indent=1) + "\n")

    def __len__(self) -> int:
        return len(self.names)

    def id_of(self, class_: str | int) -> int:
        """Return the id of a class given by name or id.

        Raises:
            ValueError: for an unknown class; the message names the known ones.
        """
        if isinstance(class_, str) and class_ in self.names:
            return self.names.index(class_)
        if isinstance(class_, (int, np.integer)) and not isinstance(class_, bool):
            if 0 <= class_ < len(self):
                return int(class_)
            raise ValueError(
                f"there is no class {class_}: the ids are 0 to {len(self) - 1} ({listed(self.names)})"
            )
        by_folded_name = {name.casefold(): name for name in self.names}
        near = difflib.get_close_matches(str(class_).casefold(), by_folded_name, n=1)
        hint = f", did you mean {by_folded_name[near[0]]!r}?" if near else "."
        raise ValueError(f"there is no class {shown(class_)}{hint} The classes are {listed(self.names)}")

    def ids_of(self, classes: Iterable[str | int]) -> list[int]:
        """Return the id of each class.

        Raises:
            ValueError: for an unknown class, and for a single name instead of a list.
        """
        if isinstance(classes, str):
            raise ValueError(
                f"the classes are given as {shown(classes)}; give a list of names or ids: [{shown(classes)}]"
            )
        return [self.id_of(class_) for class_ in classes]


def describe_difference(names: Sequence[str], others: Sequence[str]) -> tuple[str, str]:
    """Describe two differing lists of class names for a message, each as ``"3 classes sky, road, car"``.

    The length is bounded: of a long list, the names that the other list lacks come first. The second text says so if
    both lists have the same names in another order.
    """
    order = ", in another order" if set(names) == set(others) else ""
    return _described(names, others), _described(others, names) + order


def _described(names: Sequence[str], others: Sequence[str]) -> str:
    if len(names) > _NAMES_SHOWN:
        known = set(others)
        names = sorted(names, key=lambda name: name in known)
    more = len(names) - _NAMES_SHOWN
    noun = "class" if len(names) == 1 else "classes"
    return f"{len(names)} {noun} {', '.join(map(readable, names[:_NAMES_SHOWN]))}" + (
        f" and {more} more" if more > 0 else ""
    )


def _without_numpy(value: Any) -> Any:
    """Return numpy arrays and numbers as Python's own, so that label sets compare and serialise alike."""
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def resize_label_map(label: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize label maps int [B, H, W] to ``size`` = (height, width): int64; ids of any size stay exact.

    Each pixel takes the id at its centre, as filters for photos do: a map and its photo stay aligned. (The networks
    resize maps to the sizes of their features by ``F.interpolate``, as the authors' code does.)
    """
    label = label.long()
    if tuple(label.shape[-2:]) == tuple(size):
        return label
    rows, columns = (
        # floor((i + 0.5) * source / target), exactly
        ((2 * torch.arange(target, device=label.device) + 1) * source).div(2 * target, rounding_mode="floor")
        for source, target in zip(label.shape[-2:], size, strict=True)
    )
    return label[:, rows][:, :, columns]


def resize_map(ids: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize one label map or instance map int [H, W] as :func:`resize_label_map` does: int64."""
    return resize_label_map(torch.from_numpy(ids)[None], size)[0].numpy()


def one_hot(
    label: Tensor, num_classes: int, dtype: torch.dtype = torch.float32, *, check: bool = True
) -> Tensor:
    """Return label maps int [B, H, W] as one-hot [B, C, H, W].

    Args:
        label: label maps.
        num_classes: C.
        dtype: type of the result.
        check: whether to check the ids, for which the host waits for a GPU.

    Raises:
        ValueError: for another shape or type, and for an id outside 0..C-1; the message says which, and at how many
            pixels.
    """
    if label.ndim != 3 or label.is_floating_point() or label.dtype == torch.bool:
        raise ValueError(
            f"the label map is {label.dtype} {tuple(label.shape)}; it must hold whole numbers, [B, H, W]"
        )
    if check:
        check_ids(label, num_classes)
    channels = torch.zeros(label.shape[0], num_classes, *label.shape[1:], dtype=dtype, device=label.device)
    return channels.scatter_(1, label[:, None].long(), 1)


def check_ids(label: Tensor, num_classes: int) -> None:
    """Refuse label maps int [B, H, W] with an id outside 0..C-1.

    Raises:
        ValueError: for such maps; the message says which id, and at how many pixels.
    """
    low, high = torch.stack((label.min(), label.max())).tolist()  # the host waits for a GPU once
    if low < 0 or high >= num_classes:
        bad = low if low < 0 else high
        raise ValueError(
            f"the label map holds the class id {bad} at {int((label == bad).sum())} pixels; the ids are 0 to "
            f"{num_classes - 1}"
        )


def instance_edges(instance: Tensor) -> Tensor:
    """Return float32 [B, 1, H, W]: 1 at both pixels of every horizontal or vertical change of id in int [B, H, W]."""
    across = instance[:, :, 1:] != instance[:, :, :-1]
    down = instance[:, 1:] != instance[:, :-1]
    edges = (
        F.pad(across, (1, 0)) | F.pad(across, (0, 1)) | F.pad(down, (0, 0, 1, 0)) | F.pad(down, (0, 0, 0, 1))
    )
    return edges[:, None].float()


def shown_classes(label: Tensor, num_classes: int) -> Tensor:
    """Return which classes each label map int [B, H, W] shows, bool [B, C], without waiting for its device.

    Pixels of the id -1, as :func:`groupdnet_hub.data.unknown.mark_unknown` makes them, show none.
    """
    # One column more, the first, for these.
    shown = torch.zeros(len(label), num_classes + 1, dtype=torch.bool, device=label.device)
    return shown.scatter_(1, label.flatten(1).long() + 1, True)[:, 1:]


def classes_present(label: Tensor | np.ndarray, num_classes: int) -> list[int]:
    """Return the class ids that a label map holds, in rising order."""
    values = label.unique().tolist() if isinstance(label, Tensor) else np.unique(label).tolist()
    return [int(value) for value in values if 0 <= value < num_classes]


def label_picture(
    label: Tensor | np.ndarray, labels: LabelSet, unknown: np.ndarray | None = None
) -> Image.Image:
    """Return a label map as an index picture: mode P with the palette, or 16 bit for ids of more than 255.

    Args:
        label: int [H, W], class ids.
        labels: label set of the map.
        unknown: bool [H, W], pixels that hold :attr:`LabelSet.unknown_id` instead of their class; by default none.

    Raises:
        ValueError: for another shape or type, an id that is not a class, and unknown pixels of a label set without an
            id for them.
    """
    ids = _ids_to_draw(label, labels)
    colours = list(labels.palette)
    if unknown is not None and unknown.any():
        if labels.unknown_id is None:
            raise ValueError(
                "the label set has no id for unknown pixels: ignore one that is not a class, such as 255"
            )
        ids = np.where(unknown, labels.unknown_id, ids)
        colours += [labels.unknown_colour] * (labels.unknown_id + 1 - len(colours))
    if len(colours) > 256:
        return Image.fromarray(ids.astype(np.uint16))
    picture = Image.fromarray(ids.astype(np.uint8))
    picture.putpalette([value for colour in colours for value in colour])
    return picture


def colour_picture(
    label: Tensor | np.ndarray, labels: LabelSet, unknown: np.ndarray | None = None
) -> Image.Image:
    """Return a label map int [H, W] as an RGB picture in the palette's colours.

    Args:
        label: int [H, W], class ids.
        labels: label set of the map.
        unknown: bool [H, W], pixels that have :attr:`LabelSet.unknown_colour`; by default none.

    Raises:
        ValueError: for another shape or type, and for an id that is not a class.
    """
    colours = np.asarray(labels.palette, dtype=np.uint8)[_ids_to_draw(label, labels)]
    if unknown is not None:
        colours[unknown] = labels.unknown_colour
    return Image.fromarray(colours)


def _ids_to_draw(label: Tensor | np.ndarray, labels: LabelSet) -> np.ndarray:
    ids = label.cpu().numpy() if isinstance(label, Tensor) else np.asarray(label)
    if ids.ndim != 2 or ids.dtype.kind not in "iu" or ids.size == 0:
        raise ValueError(
            f"the label map to draw is {ids.dtype} {ids.shape}; it must hold whole numbers, [height, width]"
        )
    ids = ids.astype(np.int64)
    # A narrower type would wrap around silently, and a negative id would count from the palette's end.
    check_ids(torch.from_numpy(ids)[None], len(labels))
    return ids
