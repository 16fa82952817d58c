"""A segmentation model of the Hub, the table that maps its labels to our classes, and parsing a photo with it."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.config.limits import UNLIMITED, CostLimits
from groupdnet_hub.config.names import listed
from groupdnet_hub.data.labels import LabelSet
from groupdnet_hub.data.people import BACKGROUND, merged_ids
from groupdnet_hub.hub.foreign_networks import check_network, read_network_config
from groupdnet_hub.hub.transformers_models import load_transformers
from groupdnet_hub.io.finite import check_all_finite
from groupdnet_hub.io.strict_json import read_json

_FLAG = "--segmentation_model"
# To which an image processor may enlarge a picture.
_MAX_SIDE = 4096
# Of pictures that a processor leaves as they are.
_SIDE = 512


@dataclass(frozen=True)
class LabelTable:
    """The map from the labels of a segmentation model to our classes.

    Attributes:
        labels: label set of the label maps.
        targets: id of our class by the model's label. The model's other labels are never predicted.
        ignored: ids of our classes that are not scored.

    Classes that the label set itself ignores, which stand for unknown pixels, need no label either, and may have one.

    Raises:
        ValueError: for a class without a label that is not ignored, or with one that is.
    """

    labels: LabelSet
    targets: Mapping[str, int]
    ignored: frozenset[int]

    def __post_init__(self) -> None:
        reached = set(self.targets.values())
        left_out = {*self.ignored, *self.labels.ignored_ids}
        lost = [n for i, n in enumerate(self.labels.names) if i not in reached and i not in left_out]
        if lost:
            raise ValueError(f"no label stands for {', '.join(lost)}: map one to each, or list it as ignored")
        both = [self.labels.names[i] for i in sorted(reached & self.ignored)]
        if both:
            raise ValueError(
                f"labels stand for the ignored classes {', '.join(both)}: leave them out of one list"
            )
        if not reached:
            raise ValueError("all classes are ignored: map at least one label")

    @classmethod
    def same_names(cls, labels: LabelSet, theirs: Collection[str] | None = None) -> LabelTable:
        """Build the table of a model whose labels have the names of our classes.

        Args:
            labels: our label set.
            theirs: the model's labels. A model of the 16 classes of people fits the paper's 8 too: its labels stand for
                the classes that they are merged into.
        """
        names = list(theirs or ())
        merged = merged_ids(names, labels)
        if merged is not None:
            return cls(labels, dict(zip(names, merged, strict=True)), frozenset())
        ours = {name: class_id for class_id, name in enumerate(labels.names)}
        if names:
            ours = {n: i for n, i in ours.items() if n in names or i not in labels.ignored_ids}
        return cls(labels, ours, frozenset())

    @classmethod
    def of_model(
        cls, name: str | os.PathLike[str], labels: LabelSet, *, flag: str = _FLAG, **options: Any
    ) -> LabelTable:
        """Build the table of :meth:`same_names` for a model of transformers; its weights are not read.

        Args:
            name: folder or Hub id.
            labels: our label set.
            flag: flag that names the model, for messages.
            options: options of transformers' ``from_pretrained``.

        Raises:
            ValueError: if its configuration cannot be read.
        """
        config = load_transformers(partial(read_network_config, name), name, flag, **options)
        return cls.same_names(labels, config.id2label.values())

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], labels: LabelSet) -> LabelTable:
        """Read ``{"labels": {"THEIR LABEL": "our class", ...}, "ignored": ["our class", ...]}``.

        Raises:
            ValueError: for a file that is missing or not of this form, an unknown class, and as the constructor.
        """
        path = Path(path)
        if not path.is_file():
            raise ValueError(f"there is no file {path}")
        try:
            described = read_json(path, path.name)
            targets = {str(theirs): ours for theirs, ours in described["labels"].items()}
            ignored = described.get("ignored", [])
            unknown = set(described) - {"labels", "ignored"}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f'{path.name} is not a table of labels, {{"labels": {{"THEIR LABEL": "our class", ...}}, "ignored": '
                f'["our class", ...]}}: {error!r}'
            ) from None
        if unknown:
            raise ValueError(f"{path.name} has the unknown entries {listed(sorted(unknown))}")
        try:
            return cls(
                labels,
                {theirs: labels.id_of(ours) for theirs, ours in targets.items()},
                frozenset(labels.ids_of(ignored)),
            )
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from None


class Segmenter(nn.Module):
    """``AutoModelForSemanticSegmentation`` of transformers, predicting our classes.

    Image processors resize a picture to a fixed size, whatever its proportions. Here it keeps them: it is padded with
    its border pixels to the proportions of that size, and the prediction is cropped back.

    Args:
        name: folder or Hub id, with safetensors weights and an image processor.
        table: map from its labels to our classes.
        flag: flag that names the model, for messages.
        limits: what it may cost; those of the environment by default.
        options: options of transformers' ``from_pretrained``: revision, cache_dir, token, local_files_only.

    Raises:
        ValueError: for a model that cannot be loaded, asks for too much, lacks a label of the table, enlarges pictures
            without bounds or has weights that are not finite.
    """

    def __init__(
        self,
        name: str | os.PathLike[str],
        table: LabelTable,
        *,
        flag: str = _FLAG,
        limits: CostLimits | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

        allowed = limits or CostLimits.from_environment()

        def load(**options: Any) -> tuple[Any, Any]:
            config = read_network_config(name, **options)
            processor = AutoImageProcessor.from_pretrained(name, trust_remote_code=False, **options)
            _check_processor(processor, name)
            if allowed != UNLIMITED:
                check_network(config, name, _input_size(processor), allowed, **options)
            with torch.random.fork_rng(devices=[]):
                network = AutoModelForSemanticSegmentation.from_pretrained(
                    name,
                    config=config,
                    use_safetensors=True,
                    trust_remote_code=False,
                    dtype=torch.float32,
                    **options,
                )
            return network, processor

        network, self.processor = load_transformers(load, name, flag, **options)
        check_all_finite(network.state_dict(), f"the weights of {name}")
        self.network = network.eval().requires_grad_(False)
        self.classes = len(table.labels.names)
        theirs = {label: int(position) for position, label in network.config.id2label.items()}
        unknown = [label for label in table.targets if label not in theirs]
        if unknown:
            raise ValueError(
                f"the segmentation model has no label {listed(unknown)}; it has {listed(theirs)}"
            )
        self.register_buffer(
            "channels", torch.tensor([theirs[label] for label in table.targets]), persistent=False
        )
        self.register_buffer("ours", torch.tensor(list(table.targets.values())), persistent=False)

    channels: Tensor
    ours: Tensor

    def forward(self, pictures: Tensor) -> Tensor:
        """Return class ids int64 [B, H, W] of uint8 [B, 3, H, W]: at each pixel, of the table's most likely label."""
        return self.ours[self._logits(pictures).argmax(dim=1)]

    def probabilities(self, pictures: Tensor) -> Tensor:
        """Return probabilities float32 [B, C, H, W] of our classes for uint8 [B, 3, H, W], summed over labels."""
        return self._summed(self._logits(pictures))

    def probabilities_of_each(self, pictures: Sequence[Tensor]) -> list[Tensor]:
        """Return the :meth:`probabilities` of pictures of several sizes, which the network sees at once.

        Args:
            pictures: uint8 [N, 3, H, W] each. Those of a processor without a fixed size are seen one after another.
        """
        inputs = [self._inputs(one) for one in pictures]
        if len({one.shape[1:] for one in inputs}) > 1:
            return [self.probabilities(one) for one in pictures]
        logits = self.network(pixel_values=torch.cat(inputs)).logits
        parts = logits.split([len(one) for one in inputs])
        sizes = (one.shape[2:] for one in pictures)
        return [self._summed(self._resized(part, *size)) for part, size in zip(parts, sizes, strict=True)]

    def _summed(self, logits: Tensor) -> Tensor:
        theirs = logits.softmax(dim=1)
        ours = theirs.new_zeros(theirs.shape[0], self.classes, *theirs.shape[2:])
        return ours.index_add_(1, self.ours, theirs)

    def _logits(self, pictures: Tensor) -> Tensor:
        """Return logits float32 [B, labels of the table, H, W]."""
        logits = self.network(pixel_values=self._inputs(pictures)).logits
        return self._resized(logits, *pictures.shape[2:])

    def _inputs(self, pictures: Tensor) -> Tensor:
        """Return what the network takes for uint8 [B, 3, H, W]."""
        height, width = pictures.shape[2:]
        top, left, rows, columns = _padded(height, width, self.processor.size)
        if (rows, columns) != (height, width):
            sides = (left, columns - width - left, top, rows - height - top)
            pictures = F.pad(pictures.float(), sides, mode="replicate").to(torch.uint8)
        inputs = self.processor(images=list(pictures.cpu()), return_tensors="pt")["pixel_values"]
        return inputs.to(self.channels.device)

    def _resized(self, logits: Tensor, height: int, width: int) -> Tensor:
        """Return the network's logits as those of the table's labels, at the pictures' size."""
        top, left, rows, columns = _padded(height, width, self.processor.size)
        logits = logits[:, self.channels].float()
        logits = F.interpolate(logits, size=(rows, columns), mode="bilinear", align_corners=False)
        return logits[:, :, top : top + height, left : left + width]


def _input_size(processor: Any) -> tuple[int, int]:
    """Return (height, width) of the pictures that a network is given."""
    size = dict(processor.size)
    side = max((pixels for pixels in size.values() if pixels), default=_SIDE)
    return size.get("height") or side, size.get("width") or side


def _check_processor(processor: Any, name: str | os.PathLike[str]) -> None:
    """Refuse an image processor that would make a picture huge, which costs its file nothing."""
    for what in ("size", "crop_size", "pad_size"):
        for side, pixels in dict(getattr(processor, what, None) or {}).items():
            if pixels is not None and not 0 < pixels <= _MAX_SIDE:
                raise ValueError(
                    f"the segmentation model {name} wants pictures whose {side} is {pixels!r:.40}; it must be from 1 "
                    f"to {_MAX_SIDE} pixels: correct {what} in preprocessor_config.json"
                )


def parse(segmenter: Segmenter, photo: Image.Image) -> np.ndarray:
    """Return class probabilities float32 [C, H, W]: the mean of those of a photo and of its mirror image."""
    return parse_both(segmenter, photo).mean(axis=0)


def parse_both(segmenter: Segmenter, photo: Image.Image) -> np.ndarray:
    """Return class probabilities float32 [2, C, H, W] of a photo, and of its mirror image, mirrored back."""
    pixels = torch.from_numpy(np.asarray(photo).copy()).permute(2, 0, 1)[None]
    with torch.no_grad():
        both = segmenter.probabilities(torch.cat((pixels, pixels.flip(-1))))
    return torch.stack((both[0], both[1].flip(-1))).cpu().numpy()


def parse_many(segmenter: Segmenter, photos: Sequence[Image.Image]) -> list[np.ndarray]:
    """Return :func:`parse` of each photo, all of which the network sees at once; on the segmenter's device."""
    if len(photos) == 1:
        return [parse(segmenter, photos[0])]
    if not photos:
        return []
    pixels = [torch.from_numpy(np.asarray(photo).copy()).permute(2, 0, 1)[None] for photo in photos]
    with torch.no_grad():
        found = segmenter.probabilities_of_each([torch.cat((one, one.flip(-1))) for one in pixels])
    return [torch.stack((both[0], both[1].flip(-1))).mean(dim=0).cpu().numpy() for both in found]


def parse_once(segmenter: Segmenter, photo: Image.Image) -> np.ndarray:
    """Return class probabilities float32 [C, H, W] of a photo alone, in half the time of :func:`parse`."""
    pixels = torch.from_numpy(np.asarray(photo).copy()).permute(2, 0, 1)[None]
    with torch.no_grad():
        return segmenter.probabilities(pixels)[0].numpy()


def sureness(probabilities: np.ndarray, ids: np.ndarray) -> float:
    """Return how sure a parser is of a label map, from 0 to 1.

    It is the mean, over the classes that the map shows besides the background, of the mean probability of the class on
    its pixels. The probabilities are means over the photo and its mirror image (:func:`parse`): where the two disagree,
    no class is sure. The mean is by class, because a wrong face or shoe spoils a picture as much as a wrong coat and
    has few pixels.

    Args:
        probabilities: float32 [C, H, W].
        ids: int64 [H, W].

    Returns:
        The sureness; 0 where the map shows the background only.
    """
    shown = [class_id for class_id in np.unique(ids) if class_id != BACKGROUND]
    if not shown:
        return 0.0
    return float(np.mean([probabilities[class_id][ids == class_id].mean() for class_id in shown]))


def _padded(height: int, width: int, size: Mapping[str, int]) -> tuple[int, int, int, int]:
    """Return top, left, rows, columns of the smallest rectangle with a processor's proportions around a picture.

    Rows and columns are its size, top and left the picture's offset in it. A processor whose size is not a height and
    a width keeps proportions by itself.
    """
    if "height" not in size or "width" not in size:
        return 0, 0, height, width
    rows = max(height, round(width * size["height"] / size["width"]))
    columns = max(width, round(height * size["width"] / size["height"]))
    return (rows - height) // 2, (columns - width) // 2, rows, columns
