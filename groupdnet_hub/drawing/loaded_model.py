"""The model of a pipeline: loading, moving and saving it, reading label maps for it, and drawing with it."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from groupdnet_hub.codes import AppearanceCodes
from groupdnet_hub.data.label_maps import read_instance_map, read_partial_label_map
from groupdnet_hub.data.labels import LabelSet
from groupdnet_hub.data.unknown import describe_unknown
from groupdnet_hub.drawing.requests import Draw, Request, check_one_map, fresh_seed, naming
from groupdnet_hub.hub.options import LOAD_OPTIONS, destination, known_options
from groupdnet_hub.io.images import tensor_to_picture
from groupdnet_hub.look import Look, Looks
from groupdnet_hub.models.fast.cache import PreparedMapCache
from groupdnet_hub.models.groupdnet import GroupDNet

Picture = str | os.PathLike[str] | Image.Image | np.ndarray
LabelMap = Picture | Tensor

_log = logging.getLogger("groupdnet_hub.pipeline")
_OWN_OPTIONS = ("cache_bytes", "compiled", "cuda_graphs", "batch_size")
PipelineT = TypeVar("PipelineT", bound="LoadedModel")


@dataclass(frozen=True, eq=False)
class Job:
    """A picture to draw.

    Attributes:
        codes: its appearance.
        label: int64 [H, W].
        seed: seed that its look tells.
        instance: int64 [H, W], for models with instance edges.
    """

    codes: AppearanceCodes
    label: np.ndarray
    seed: int | None = None
    instance: np.ndarray | None = None


class Maps:
    """The label maps and instance maps of a request; one that serves several pictures is read once.

    Args:
        read_mask: reads a label map.
        read_instance: reads an instance map, given the label map.
    """

    def __init__(
        self,
        read_mask: Callable[[Any], np.ndarray],
        read_instance: Callable[[Any, np.ndarray], np.ndarray | None],
    ) -> None:
        self._read_mask, self._read_instance = read_mask, read_instance
        # What was read, beside what it was read from: its id is its own for as long as it lives.
        self._labels: dict[int, tuple[Any, np.ndarray]] = {}
        self._instances: dict[int, tuple[Any, np.ndarray | None]] = {}

    def label(self, mask: Any) -> np.ndarray:
        """Return a label map int64 [H, W]."""
        if id(mask) not in self._labels:
            self._labels[id(mask)] = mask, self._read_mask(mask)
        return self._labels[id(mask)][1]

    def instance(self, instance: Any, label: np.ndarray) -> np.ndarray | None:
        """Return the instance map int64 [H, W] that lies on a label map; None for None."""
        if id(instance) not in self._instances:
            self._instances[id(instance)] = instance, self._read_instance(instance, label)
        return self._instances[id(instance)][1]


class LoadedModel:
    """A model with all that a pipeline needs to draw with it.

    Args:
        model: model, which is set to evaluation mode.
        cache_bytes: size of the cache in bytes; 0 for none. By default 512 MiB, or 2 GiB for a model on another device
            than the CPU, where scale and shift of entire label maps are cached.
        compiled, cuda_graphs: options of :meth:`GroupDNet.prepare` for every picture; without a cache there are no
            CUDA graphs.
        batch_size: how many pictures of a list are decoded together. The memory that drawing needs grows with it,
            not with the length of the list. By default 1: then a picture has the same bits whatever list it is in. In
            larger batches a few values differ by 1 of 255; a GPU draws more pictures a second so.
    """

    def __init__(
        self,
        model: GroupDNet,
        *,
        cache_bytes: int | None = None,
        compiled: bool = False,
        cuda_graphs: bool = False,
        batch_size: int = 1,
    ) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size is {batch_size!r}; it must be a whole number of at least 1")
        self.model = model.eval().requires_grad_(False)
        self.batch_size = batch_size
        self._cache_bytes, self._compiled, self._cuda_graphs = cache_bytes, compiled, cuda_graphs
        self.prepared_maps = self._new_cache()

    @classmethod
    def from_pretrained(
        cls: type[PipelineT], path_or_id: str | os.PathLike[str], **options: Any
    ) -> PipelineT:
        """Load a model from a folder or a Hub id.

        Args:
            path_or_id: a folder, or a Hub id ``user/name``.
            options: those of ``GroupDNet.from_pretrained``, such as ``dtype``, ``device``, ``limits`` and ``revision``,
                and ``cache_bytes``, ``compiled``, ``cuda_graphs`` and ``batch_size``.

        Raises:
            TypeError, ValueError, OSError: as ``GroupDNet.from_pretrained``.
        """
        known = known_options(options, (*LOAD_OPTIONS, *_OWN_OPTIONS))
        own = {name: known.pop(name) for name in _OWN_OPTIONS if name in known}
        return cls(GroupDNet.from_pretrained(path_or_id, **known), **own)

    def save_pretrained(self, save_directory: str | os.PathLike[str], **options: Any) -> str | None:
        """Save the model; options and errors are those of ``GroupDNet.save_pretrained``."""
        return self.model.save_pretrained(save_directory, **options)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload the model; options, result and errors are those of ``GroupDNet.push_to_hub``."""
        return self.model.push_to_hub(repo_id, **options)

    def to(
        self: PipelineT, *places: Any, device: Any = None, dtype: torch.dtype | str | None = None
    ) -> PipelineT:
        """Move the model to a device, to a precision, or to both, and return the pipeline.

        Args:
            places: a device, a dtype, or both: ``pipe.to("cuda", torch.bfloat16)``.
            device: the same by name.
            dtype: the same by name.

        Raises:
            ValueError: for an unknown dtype, and a device that is not there.
        """
        self.model.to(**destination(places, device, dtype))
        self.prepared_maps = self._new_cache()  # what it held is of the weights before
        return self

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the model's weights."""
        return self.model.dtype

    @property
    def labels(self) -> LabelSet:
        """The model's label set."""
        return self.model.labels

    def __repr__(self) -> str:
        height, width = self.model.config.image_size
        return (
            f"{type(self).__name__}({len(self.labels)} classes, {height}x{width}, {self.device}, "
            f"{str(self.dtype).removeprefix('torch.')})"
        )

    # -- for the verbs ---------------------------------------------------------------------------------------

    def _looks(self, request: Request, job: Callable[[dict[str, Any]], Job]) -> Look | Looks:
        """Draw what is asked for; all inputs are read by ``job`` before the first picture is drawn."""
        if not request.many:
            return next(self._draw([job(request.rows[0])]))
        return Looks(self._draw(list(self._jobs(request.rows, job, len(request.rows)))))

    def _jobs(
        self, rows: Iterable[dict[str, Any]], job: Callable[[dict[str, Any]], Job], count: int | None = None
    ) -> Iterator[Job]:
        """Yield the jobs of many pictures; an error says of which picture it is."""
        for place, row in enumerate(rows):
            with naming(place, count):
                made = job(row)
            yield made

    def _maps(self) -> Maps:
        return Maps(self._read_mask, self._read_instance)

    def _new_cache(self) -> PreparedMapCache:
        limit = self._cache_bytes
        if limit is None:
            limit = (512 if self.device.type == "cpu" else 2048) * 2**20
        return PreparedMapCache(limit, compiled=self._compiled, cuda_graphs=self._cuda_graphs)

    def _draw(self, jobs: Iterable[Job]) -> Iterator[Look]:
        """Yield a look for each job; ``batch_size`` of them are drawn at a time."""
        waiting = iter(jobs)
        while batch := list(itertools.islice(waiting, self.batch_size)):
            for job, picture in zip(batch, self._render(batch), strict=True):
                yield Look(picture, job.codes, job.label, job.seed, job.instance)

    @torch.inference_mode()
    def _render(self, batch: Sequence[Job]) -> list[Image.Image]:
        """Return the pictures of jobs, decoded together."""
        first = batch[0]
        codes = torch.stack([job.codes.tensor for job in batch]).to(self.device)
        if all(job.label is first.label and job.instance is first.instance for job in batch):
            prepared = self.prepared_maps.prepared(self.model, *_batched([first]))
        else:
            prepared = self.model.prepare(*_batched(batch), keep=0, compiled=self._compiled)
        pictures = self.model.decode(codes, prepared).float().cpu()
        self.prepared_maps.tidy(prepared)
        return [tensor_to_picture(picture) for picture in pictures]

    def _prior(self, draw: Draw) -> AppearanceCodes:
        if not isinstance(draw, torch.Generator):
            # On the CPU, so that one seed gives one appearance on every device.
            draw = torch.Generator().manual_seed(draw)
        return AppearanceCodes(self.model.prior.sample(1, generator=draw)[0], self.labels)

    def _drawn(self, draw: Draw | None) -> tuple[AppearanceCodes, int | None]:
        """Return codes of the prior and their seed: a fresh one for None, and none for a generator."""
        draw = fresh_seed() if draw is None else draw
        return self._prior(draw), None if isinstance(draw, torch.Generator) else draw

    def _read_mask(self, mask: LabelMap) -> np.ndarray:
        return self._read_partial_mask(mask)[0]

    def _read_partial_mask(self, mask: LabelMap) -> tuple[np.ndarray, np.ndarray]:
        """Return a label map, and which of its pixels are unknown; the log says how many.

        It warns of pixels that are given a class, not of those that have one which the model ignores.
        """
        check_one_map(mask, "mask")
        size = self.model.config.image_size
        label, unknown = read_partial_label_map(mask, self.labels, size=size, resize=True)
        if unknown.any():
            have_class = self.labels.dont_care in self.labels.ignored_ids
            level = logging.INFO if have_class else logging.WARNING
            _log.log(level, "%s", describe_unknown(label, unknown, self.labels))
        return label, unknown

    def _read_instance(self, instance: LabelMap | None, label: np.ndarray) -> np.ndarray | None:
        if instance is None:
            return None
        check_one_map(instance, "instance")
        return read_instance_map(instance, size=label.shape)


def _batched(jobs: Sequence[Job]) -> tuple[Tensor, Tensor | None]:
    """Return the label maps and instance maps of jobs, int64 [B, H, W]."""
    label = torch.from_numpy(np.stack([job.label for job in jobs]))
    with_instances = [job.instance for job in jobs if job.instance is not None]
    if not with_instances:
        return label, None
    if len(with_instances) < len(jobs):
        raise ValueError(
            "some pictures have an instance map and others have none: give one for each, or none"
        )
    return label, torch.from_numpy(np.stack(with_instances))
