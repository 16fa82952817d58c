"""The decoder in its exact, faster forms: the label map's work is done once, and only what changed is drawn again."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from groupdnet_hub.config.groupdnet import GroupDNetConfig
from groupdnet_hub.models.blocks import CGBlock
from groupdnet_hub.models.decoder import GroupDecoder
from groupdnet_hub.models.fast.cuda_graphs import RecordedDecode
from groupdnet_hub.models.fast.folded_blocks import fold, fold_whole_maps, singular_values
from groupdnet_hub.models.fast.gradient_checkpointing import recomputed
from groupdnet_hub.models.fast.incremental import decode_folded
from groupdnet_hub.models.fast.label_windows import LabelLevel, label_level, searches_windows
from groupdnet_hub.models.fast.modulation import AnyModulation, BatchStatistics
from groupdnet_hub.models.fast.partial_sums import PartialSums
from groupdnet_hub.models.fast.prepared_map import BlockModulations, PreparedMap, weights_state
from groupdnet_hub.models.fast.unfolded_blocks import (
    blocks_of,
    is_joined,
    joined_modulations,
    modulations,
    run,
)

# Just below 32 MiB, the largest block by whose size glibc sets its thresholds (M_MMAP_THRESHOLD in mallopt(3)).
_FREED_BLOCK = 32 * 2**20 - 2**16


class FastDecoder(GroupDecoder):
    """A :class:`GroupDecoder` that also takes label maps that :meth:`prepare` prepared, and then is faster.

    It is the same network, and draws the same pictures up to rounding.

    Attributes:
        gradient_checkpointing: in training mode, blocks keep only their inputs for the gradients: not scale and shift
            of their label maps either (:mod:`.gradient_checkpointing`).
    """

    gradient_checkpointing = False

    def __init__(self, config: GroupDNetConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__(config, generator=generator)
        # A state of the weights, and whether their singular values can be folded in.
        self._foldable: tuple[object, bool] | None = None

    def train(self, mode: bool = True) -> FastDecoder:
        """Do as ``nn.Module.train``; for evaluation the weights are laid out channels_last."""
        super().train(mode)
        return self if mode else self.to(memory_format=torch.channels_last)

    def prepare(
        self,
        label: Tensor,
        edges: Tensor | None = None,
        *,
        lookup: bool | None = None,
        keep: int = 1,
        compiled: bool = False,
        cuda_graphs: bool = False,
    ) -> PreparedMap:
        """Return the label map's part of :meth:`forward`: gamma and beta of every CG-Norm.

        In evaluation mode, and where nothing asks for gradients, all that does not depend on the codes is folded
        in as well.

        Args:
            label: int64 [B, H, W].
            edges: instance edge map [B, 1, H, W], for a configuration with ``instance_edges``.
            lookup: ``True`` searches for the maps' different windows. By default only a CPU does; elsewhere, where
                the search would have to wait for the device, the whole maps are convolved by folded weights.
                ``False`` convolves the whole maps and folds nothing.
            keep: how many single pictures are cached to start the next one from.
            compiled: see :meth:`groupdnet_hub.GroupDNet.prepare`.
            cuda_graphs: see :meth:`groupdnet_hub.GroupDNet.prepare`.

        Raises:
            ValueError: for ``cuda_graphs`` on another device.
        """
        if cuda_graphs and label.device.type != "cuda":
            raise ValueError(
                f"CUDA graphs need the model on a CUDA device; it is on {label.device.type}: "
                "move it, or leave cuda_graphs off"
            )
        found: Sequence[BlockModulations]
        folded = False
        if is_joined(next(blocks_of(self))):
            found = self._joined_modulations(label, edges)
        else:
            search = searches_windows(label.device) if lookup is None else lookup
            divisors = None if lookup is False else self._divisors_to_fold()
            folded = divisors is not None
            if folded and label.device.type == "cpu":
                _keep_freed_memory()
            found = self._modulations(label, edges, divisors, search=search, compiled=compiled)
        prepared = PreparedMap(
            label,
            tuple(found),
            self.latent_size(label),
            self.first_input(label, edges),
            cached=deque(maxlen=keep),
            sums=tuple(PartialSums() for _ in self.blocks) if keep and folded else (),
        )
        if cuda_graphs and folded:
            prepared = replace(prepared, recorded=RecordedDecode(self, prepared))
        return prepared

    def _modulations(
        self,
        label: Tensor,
        edges: Tensor | None,
        divisors: Sequence[Mapping[str, Tensor | None]] | None,
        *,
        search: bool,
        compiled: bool,
    ) -> list[BlockModulations]:
        """Return scale and shift of every CG-Norm, folded where there are divisors."""
        found: list[BlockModulations] = []
        slots = self.config.class_slots
        for i, block in enumerate(blocks_of(self)):
            level = self._level(label, edges, i, search=search)
            if divisors is None:
                found.append(self._now_or_later(modulations, block, level))
            elif search:
                found.append(fold(block, level, slots, divisors[i], compiled=compiled))
            else:
                found.append(fold_whole_maps(block, level, slots, divisors[i], compiled=compiled))
        return found

    def _joined_modulations(self, label: Tensor, edges: Tensor | None) -> tuple[BlockModulations, ...]:
        """Return scale and shift of every CG-Norm, on whole label maps, by the weights that a training step lends."""
        return tuple(
            self._now_or_later(joined_modulations, block, self._level(label, edges, i, search=False))
            for i, block in enumerate(blocks_of(self))
        )

    def _now_or_later(
        self,
        make: Callable[[CGBlock, LabelLevel, int], Mapping[str, AnyModulation]],
        block: CGBlock,
        level: LabelLevel,
    ) -> BlockModulations:
        """Return a block's scale and shift, or with gradient checkpointing what computes them within the block."""
        later = functools.partial(make, block, level, self.config.class_slots)
        return later if self.gradient_checkpointing and self.training else later()

    def _level(self, label: Tensor, edges: Tensor | None, block: int, *, search: bool) -> LabelLevel:
        """Return the label maps at the resolution of a block."""
        height, width = self.latent_size(label)
        size = height * 2**block, width * 2**block
        return label_level(label, edges, size, self.config.num_classes, lookup=search)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Do as ``nn.Module.compile``, and compile what :meth:`prepare` does in a training step."""
        super().compile(*args, **kwargs)
        self._joined_modulations = torch.compile(self._joined_modulations, *args, **kwargs)  # type: ignore[method-assign]

    def forward(self, codes: Tensor, label: Tensor | PreparedMap, edges: Tensor | None = None) -> Tensor:
        """Draw label maps, or what :meth:`prepare` made of them, with the appearance that codes give them.

        On a map that was prepared in evaluation mode, without gradients, the picture is drawn group by group, and
        from a cached one (:mod:`groupdnet_hub.models.fast.incremental`).

        Args:
            codes: [B, C, z, h, w] (or [B, C, z, 1, 1]).
            label: a prepared map of batch B or 1; or a label map, which is drawn by :class:`GroupDecoder`.
            edges: as of :class:`GroupDecoder`, for a label map.

        Returns:
            [B, 3, H, W] in [-1, 1].

        Raises:
            ValueError: in training mode, for a map that was prepared in evaluation mode.
        """
        if isinstance(label, Tensor):
            return super().forward(codes, label, edges)
        prepared = label
        if prepared.folded and self.training:
            raise ValueError("this label map was prepared in evaluation mode: prepare it again to train")
        fast = prepared.folded and not _wants_gradients(codes, *self.parameters())
        if not fast or torch.is_autocast_enabled(codes.device.type):
            return self.activations(codes, prepared)[-1]
        if prepared.recorded is not None and codes.shape[0] == 1:
            return prepared.recorded.draw(codes)
        return decode_folded(self, codes, prepared)

    def activations(
        self, codes: Tensor, label: Tensor | PreparedMap, edges: Tensor | None = None
    ) -> list[Tensor]:
        """Return what :meth:`GroupDecoder.activations` does, or windows of it."""
        if isinstance(label, Tensor):
            return super().activations(codes, label, edges)
        prepared, window = label, label.window
        x = self.first_features(codes, prepared.latent_size, prepared.first_input)
        outputs = [x]
        for i, block in enumerate(blocks_of(self)):
            if window is not None and i in window.inputs:
                x = window.inputs[i].of(x)
            if i:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = self._run_block(i, block, x, prepared)
            outputs.append(x)
        return [*outputs, self.picture(x)]

    def _run_block(self, number: int, block: CGBlock, x: Tensor, prepared: PreparedMap) -> Tensor:
        """Return a block's output on a prepared map; the statistics that the map asks for are left with it."""
        wanted = None if prepared.statistics is None else prepared.statistics.get(number)

        def output(x: Tensor) -> tuple[Tensor, dict[str, BatchStatistics]]:
            # Its own: what is computed again is not to be left with the map.
            found: dict[str, BatchStatistics] = {}
            return run(block, x, prepared.of_block(number), None if wanted is None else found), found

        y, found = recomputed(block, output, x) if self.gradient_checkpointing else output(x)
        if wanted is not None:
            wanted.update(found)
        return y

    def _divisors_to_fold(self) -> list[Mapping[str, Tensor | None]] | None:
        """Return the singular values of each block's convolutions, or None where they cannot be folded in."""
        config = self.config
        if self.training or config.norm_kind != "batch" or config.separate_networks:
            return None
        # Autocast would round what is folded; a model of lower precision folds first and rounds once.
        if _wants_gradients(*self.parameters()) or torch.is_autocast_enabled(self.fc.weight.device.type):
            return None
        divisors: list[Mapping[str, Tensor | None]] = [singular_values(block) for block in blocks_of(self)]
        values = [value for block in divisors for value in block.values() if value is not None]
        # LeakyReLU commutes with a positive factor only. A device is asked once for the same weights.
        state = weights_state(self)
        if self._foldable is None or self._foldable[0] != state:
            self._foldable = state, not values or bool((torch.stack(values) > 0).all())
        return divisors if self._foldable[1] else None


def _wants_gradients(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


@functools.cache
def _keep_freed_memory() -> None:
    """Have glibc keep up to 64 MiB of freed memory, once for a process, for the next picture.

    By itself it gives features of 10 MB back to the system whenever they are freed, and the system clears all their
    pages when it hands them out again: an eighth of the time of a picture at 256x256 on a CPU. glibc sets what it keeps
    to twice the largest block that was ever freed; here one is, which no page is used for. Other C libraries are left
    as they are.
    """
    torch.empty(_FREED_BLOCK, dtype=torch.uint8)
