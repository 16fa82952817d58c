"""Pictures in, pictures out: sample, reroll, encode, mix, morph and edit (section 4.4, Fig. 5 to 7)."""

from __future__ import annotations

import logging
import os
import secrets
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image

from groupdnet_hub.codes import AppearanceCodes
from groupdnet_hub.data.label_maps import read_instance_map, read_partial_label_map
from groupdnet_hub.data.labels import LabelSet
from groupdnet_hub.data.turned_pairs import check_orientations
from groupdnet_hub.data.unknown import describe_unknown, grey_unknown
from groupdnet_hub.io.images import photo_to_tensor, read_photo, tensor_to_picture
from groupdnet_hub.look import Look
from groupdnet_hub.models.fast.cache import PreparedMapCache
from groupdnet_hub.models.groupdnet import GroupDNet

Picture = str | os.PathLike[str] | Image.Image | np.ndarray
ClassArgument = str | int

# Largest relative difference of the proportions of a photo and its label map; within it the photo is resized.
_ASPECT_TOLERANCE = 0.02


class GroupDNetPipeline:
    """Everything one can do with a trained model, on pictures.

    Pictures and label maps are paths, PIL images or arrays; label maps of another size are resized (nearest) if
    their proportions fit. Every call with the same seed, on the same device, gives the same picture; without a seed a
    new one is drawn, which the look stores.

    Pixels of a label map that the model's configuration lists as ``ignore`` are unknown: they are drawn as the
    don't-care class or the nearest one, which is logged, and a photo's pixels there belong to no code.

    A look of other classes is refused with a ValueError that names both models' classes; so is one with codes of
    another shape, and, where the look's own label map is drawn, one of another size.

    The prepared label maps of the last calls are cached, and for each the features of its last pictures: a reroll
    computes only what the redrawn classes reach. The cache changes no picture.

    Args:
        model: model, which is set to evaluation mode.
        cache_bytes: size of the cache in bytes; 0 for none. By default 512 MiB, or 2 GiB for a model on another device
            than the CPU, where scale and shift of entire label maps are cached.
        compiled, cuda_graphs: options of :meth:`GroupDNet.prepare` for every picture; without a cache there are no
            CUDA graphs.
    """

    def __init__(
        self,
        model: GroupDNet,
        *,
        cache_bytes: int | None = None,
        compiled: bool = False,
        cuda_graphs: bool = False,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        if cache_bytes is None:
            cache_bytes = (512 if model.device.type == "cpu" else 2048) * 2**20
        self.prepared_maps = PreparedMapCache(cache_bytes, compiled=compiled, cuda_graphs=cuda_graphs)

    @classmethod
    def from_pretrained(cls, path_or_id: str | os.PathLike[str], **options: Any) -> GroupDNetPipeline:
        """Load a model from a folder or a Hub id; options and errors are those of ``GroupDNet.from_pretrained``."""
        return cls(GroupDNet.from_pretrained(path_or_id, **options))

    def to(self, device: str | torch.device) -> GroupDNetPipeline:
        """Move the model to a device and return the pipeline."""
        self.model.to(device)
        return self

    @property
    def labels(self) -> LabelSet:
        """The model's label set."""
        return self.model.labels

    # -- making looks ----------------------------------------------------------------------------------------

    def sample(self, mask: Picture, seed: int | None = None, *, instance: Picture | None = None) -> Look:
        """Draw a picture of a label map, with the appearance of every class sampled from the prior.

        Args:
            mask: label map.
            seed: seed of the codes; a new one by default.
            instance: instance map, for models with instance edges.

        Raises:
            ValueError: for maps or a seed that cannot be read.
        """
        seed = _fresh_seed() if seed is None else _checked_seed(seed)
        label = self._read_mask(mask)
        return self._draw(self._prior(seed), label, seed, self._read_instance(instance, label))

    def reroll(
        self, look: Look, classes: ClassArgument | Iterable[ClassArgument], seed: int | None = None
    ) -> Look:
        """Redraw one or several classes of a look; every other class keeps its code.

        With the seed of a sample, a class gets the code that it has in that sample.
        """
        codes = self._codes_of(look)
        seed = _fresh_seed() if seed is None else _checked_seed(seed)
        codes = codes.mix(dict.fromkeys(self._class_ids(classes), self._prior(seed)))
        return self._draw(codes, look.mask, seed, look.instance)

    @torch.inference_mode()
    def encode(
        self,
        photo: Picture,
        photo_mask: Picture,
        *,
        seed: int = 0,
        instance: Picture | None = None,
        unknown: np.ndarray | None = None,
    ) -> Look:
        """Make a look of a real photo: the code of each class is the mean of its posterior.

        Args:
            photo: photo.
            photo_mask: label map of the photo.
            seed: seed of the codes of classes that the photo does not show at known pixels, for later edits.
            instance: instance map, for models with instance edges.
            unknown: bool [H, W] at the model's size, unknown pixels beside those that the label map itself says are.

        Raises:
            ValueError: if the photo does not fit its mask, or an EXIF orientation turns one of them alone.
        """
        doubt = check_orientations(photo, photo_mask, proportions=True)
        if doubt is not None:
            warnings.warn(doubt, stacklevel=3)
        picture = read_photo(photo)
        label, hidden = self._read_partial_mask(photo_mask)
        if unknown is not None:
            if unknown.dtype != bool or unknown.shape != label.shape:
                raise ValueError(
                    f"unknown is {unknown.dtype} {unknown.shape}; it must be bool {label.shape}, as the label map"
                )
            hidden = hidden | unknown
        height, width = self.model.config.image_size
        stretch = (picture.width / picture.height) / (width / height)
        if abs(stretch - 1) > _ASPECT_TOLERANCE:
            raise ValueError(
                f"the photo is {picture.height}x{picture.width} (height x width), and its mask was read at "
                f"{height}x{width}: crop the photo to the same proportions as the mask"
            )
        image = photo_to_tensor(picture, (height, width))
        if hidden.any():
            image = grey_unknown(image, torch.from_numpy(hidden))  # of no class (Eq. 2), as in training
        image, maps = image[None], torch.from_numpy(label)[None]
        codes = self._prior(_checked_seed(seed)).tensor.clone()
        shown = np.unique(label[~hidden]).tolist()
        codes[shown] = self.model.encode(image, maps).mode()[0].float().cpu()[shown]
        appearance = AppearanceCodes(codes, self.labels)
        return self._draw(appearance, label, None, self._read_instance(instance, label))

    def mix(
        self,
        mask: Picture,
        sources: Mapping[ClassArgument, Look],
        base: Look | None = None,
        *,
        seed: int | None = None,
        instance: Picture | None = None,
    ) -> Look:
        """Draw a label map with the appearance of each class taken from a look (appearance mixing).

        Args:
            mask: label map.
            sources: look by class, such as ``{"hair": look_a, "top-clothes": look_b}``.
            base: look of all other classes; without it they are drawn with ``seed``.
            seed: seed of the other classes' codes; a new one by default.
            instance: instance map, for models with instance edges.
        """
        taken = {class_: self._codes_of(look, drawn=False) for class_, look in sources.items()}
        rest = None if base is None else self._codes_of(base, drawn=False)
        label = self._read_mask(mask)
        if base is None or rest is None:
            seed = _fresh_seed() if seed is None else _checked_seed(seed)
            codes = self._prior(seed)
        else:
            codes, seed = rest, base.seed
        codes = codes.mix(taken)
        return self._draw(codes, label, seed, self._read_instance(instance, label))

    def morph(
        self,
        look_a: Look,
        look_b: Look,
        steps: int = 9,
        classes: Iterable[ClassArgument] | ClassArgument | None = None,
        span: tuple[float, float] = (0.0, 1.0),
    ) -> list[Look]:
        """Interpolate from ``look_a`` to ``look_b``, on the first one's label map (appearance morphing).

        Args:
            look_a: look at the position 0.
            look_b: look at the position 1.
            steps: number of looks, at least 2.
            classes: classes that change; all by default.
            span: first and last position; beyond [0, 1] the change is extrapolated.

        Returns:
            ``steps`` looks at evenly spaced positions.
        """
        if not isinstance(steps, int) or steps < 2:
            raise ValueError(f"steps is {steps!r}; a morph has at least 2 looks")
        start, end = (float(value) for value in span)
        if not np.isfinite([start, end]).all():
            raise ValueError(f"span is {span}; it must be two finite numbers")
        first, last = self._codes_of(look_a), self._codes_of(look_b, drawn=False)
        chosen = None if classes is None else self._class_ids(classes)
        codes = [
            first.interpolate(last, start + (end - start) * i / (steps - 1), chosen) for i in range(steps)
        ]
        pictures = self._render(codes, look_a.mask, look_a.instance)
        return [
            Look(picture, code, look_a.mask, None, look_a.instance)
            for picture, code in zip(pictures, codes, strict=True)
        ]

    def between(
        self,
        look_a: Look,
        look_b: Look,
        t: float,
        classes: Iterable[ClassArgument] | ClassArgument | None = None,
    ) -> Look:
        """Return one look of a :meth:`morph` at position ``t``: 0 is ``look_a``, 1 the appearance of ``look_b``."""
        if not np.isfinite(t):
            raise ValueError(f"t is {t}; it must be a finite number")
        first, last = self._codes_of(look_a), self._codes_of(look_b, drawn=False)
        codes = first.interpolate(last, t, None if classes is None else self._class_ids(classes))
        return self._draw(codes, look_a.mask, None, look_a.instance)

    def edit(
        self, look: Look, new_mask: Picture, *, seed: int | None = None, instance: Picture | None = None
    ) -> Look:
        """Draw the same appearance on another label map (semantic manipulation).

        A class that was not on the old map takes its code of the look, which was drawn when the look was made.

        Args:
            look: look with the appearance.
            new_mask: label map.
            seed: seed with which to redraw the classes that are new to the map, instead.
            instance: instance map, for models with instance edges.
        """
        codes = self._codes_of(look, drawn=False)
        label = self._read_mask(new_mask)
        if seed is not None:
            fresh = self._prior(_checked_seed(seed))
            new = np.setdiff1d(label, look.mask)
            codes = codes.mix({int(class_id): fresh for class_id in new})
        return self._draw(
            codes, label, look.seed if seed is None else seed, self._read_instance(instance, label)
        )

    # -- helpers ---------------------------------------------------------------------------------------------

    def _draw(
        self, codes: AppearanceCodes, label: np.ndarray, seed: int | None, instance: np.ndarray | None
    ) -> Look:
        return Look(self._render([codes], label, instance)[0], codes, label, seed, instance)

    @torch.inference_mode()
    def _render(
        self, codes: list[AppearanceCodes], label: np.ndarray, instance: np.ndarray | None
    ) -> list[Image.Image]:
        maps = torch.from_numpy(label)[None]
        ids = None if instance is None else torch.from_numpy(instance)[None]
        prepared = self.prepared_maps.prepared(self.model, maps, ids)
        pictures = []
        for one in codes:  # one at a time: memory stays that of one picture, and so does the result
            image = self.model.decode(one.tensor[None].to(self.model.device), prepared)
            pictures.append(tensor_to_picture(image[0].float().cpu()))
        self.prepared_maps.tidy()
        return pictures

    def _prior(self, seed: int) -> AppearanceCodes:
        # On the CPU, so that one seed gives one appearance on every device.
        codes = self.model.prior.sample(1, generator=torch.Generator().manual_seed(seed))
        return AppearanceCodes(codes[0], self.labels)

    def _read_mask(self, mask: Picture) -> np.ndarray:
        return self._read_partial_mask(mask)[0]

    def _read_partial_mask(self, mask: Picture) -> tuple[np.ndarray, np.ndarray]:
        """Return a label map, and which of its pixels are unknown; the log says how many.

        It warns of pixels that are given a class, not of those that have one which the model ignores.
        """
        size = self.model.config.image_size
        label, unknown = read_partial_label_map(mask, self.labels, size=size, resize=True)
        if unknown.any():
            have_class = self.labels.dont_care in self.labels.ignored_ids
            level = logging.INFO if have_class else logging.WARNING
            logging.getLogger(__name__).log(level, "%s", describe_unknown(label, unknown, self.labels))
        return label, unknown

    def _read_instance(self, instance: Picture | None, label: np.ndarray) -> np.ndarray | None:
        return None if instance is None else read_instance_map(instance, size=label.shape)

    def _class_ids(self, classes: ClassArgument | Iterable[ClassArgument]) -> list[int]:
        if isinstance(classes, (str, int)):
            return [self.labels.id_of(classes)]
        return self.labels.ids_of(classes)

    def _codes_of(self, look: Look, *, drawn: bool = True) -> AppearanceCodes:
        """Return the codes of a look, refusing one that this model cannot draw.

        Args:
            look: the look.
            drawn: whether the look's own label map is to be drawn too.
        """
        look.check_fits(self.model.config, codes_only=not drawn)
        return look.codes


def _fresh_seed() -> int:
    return secrets.randbelow(2**31)


def _checked_seed(seed: int) -> int:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**63:
        raise ValueError(f"seed is {seed!r}; it must be a whole number from 0 to 2**63 - 1")
    return int(seed)
