"""The decoder (Fig. 9, 10, Table 4): CG-Blocks whose groups fall from one per class to 1."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.config.groupdnet import GroupDNetConfig
from groupdnet_hub.models.blocks import CGBlock
from groupdnet_hub.models.code_placement import CodePlacement, code_placement
from groupdnet_hub.models.fast.cuda_graphs import RecordedDecode
from groupdnet_hub.models.fast.incremental import FoldedNetwork, decode_folded
from groupdnet_hub.models.fast.joined_modulation import JoinedModulation
from groupdnet_hub.models.fast.kept_memory import keep_freed_memory
from groupdnet_hub.models.fast.label_windows import label_level, searches_windows
from groupdnet_hub.models.fast.modulation import AnyModulation
from groupdnet_hub.models.fast.partial_sums import PartialSums
from groupdnet_hub.models.fast.prepared_map import PreparedMap
from groupdnet_hub.models.layers import (
    LEAKY_SLOPE,
    GroupedConv2d,
    few_channels,
    initialise_network,
    weights_state,
)


class GroupDecoder(nn.Module):
    """Codes of all classes and a label map to a picture."""

    def __init__(self, config: GroupDNetConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        # A state of the weights, and whether their singular values can be folded in.
        self._foldable: tuple[object, bool] | None = None
        self.fc = GroupedConv2d(
            config.class_slots * config.code_channels,
            config.fc_channels,
            groups=config.class_slots if config.fc_groups is None else config.fc_groups,
        )
        blocks, channels, groups = [], config.fc_channels, self.fc.groups
        for block in config.blocks:
            blocks.append(
                CGBlock(
                    channels,
                    block.out_channels,
                    block.groups,
                    config.label_channels,
                    config.class_slots,
                    block.hidden_channels,
                    block.label_groups,
                    block.modulation_groups,
                    config.norm_kind,
                    config.spectral_norm,
                    in_groups=groups,
                )
            )
            channels, groups = block.out_channels, block.groups
        self.blocks = nn.ModuleList(blocks)
        self.fusion = nn.ModuleList(
            GroupedConv2d(channels, channels, spectral_norm=config.spectral_norm)
            for _ in range(config.fusion_layers)
        )
        self.to_rgb = GroupedConv2d(channels, 3)
        initialise_network(self, generator)

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
        """The label map's work: gamma and beta of every CG-Norm.

        In evaluation mode, and where nothing asks for gradients, all that does not depend on the codes is folded
        in as well, and :meth:`forward` takes its fast form.

        Args:
            label: int64 [B, H, W].
            edges: instance edge map [B, 1, H, W], for a configuration with ``instance_edges``.
            lookup: ``True`` searches for the maps' different windows. By default only a CPU does; elsewhere, where
                the search would have to wait for the device, the whole maps are convolved by folded weights.
                ``False`` convolves the whole maps and folds nothing, as the paper's network does.
            keep: how many single pictures the scene keeps to start the next one from.
            compiled, cuda_graphs: of the fast form, which see :meth:`groupdnet_hub.GroupDNet.prepare`.

        Raises:
            ValueError: for ``cuda_graphs`` on another device.
        """
        if cuda_graphs and label.device.type != "cuda":
            raise ValueError(
                f"CUDA graphs need the model on a CUDA device; it is on {label.device.type}: "
                "move it, or leave cuda_graphs off"
            )
        factor = 2 ** (len(self.blocks) - 1)
        latent_size = (label.shape[1] // factor, label.shape[2] // factor)
        if next(self._cg_blocks()).joined:
            return PreparedMap(
                label,
                self._joined_modulations(label, edges),
                latent_size,
                deque(maxlen=keep),
                placement=self._placement(label, latent_size),
            )
        modulations: list[Mapping[str, AnyModulation]] = []
        search = searches_windows(label.device) if lookup is None else lookup
        divisors = None if lookup is False else self._divisors_to_fold()
        if divisors is not None and label.device.type == "cpu":
            keep_freed_memory()
        for i, block in enumerate(self._cg_blocks()):
            size = (latent_size[0] * 2**i, latent_size[1] * 2**i)
            level = label_level(label, edges, size, self.config.num_classes, lookup=search)
            if divisors is None:
                modulations.append(block.modulations(level))
            elif not search:
                modulations.append(block.dense_modulations(level, divisors[i], compiled=compiled))
            else:
                folded = block.folded_modulations(level, divisors[i])
                modulations.append({name: replace(m, compiled=compiled) for name, m in folded.items()})
        placement = self._placement(label, latent_size)
        sums = tuple(PartialSums() for _ in self.blocks) if keep and divisors is not None else ()
        scene = PreparedMap(
            label, tuple(modulations), latent_size, deque(maxlen=keep), sums, placement=placement
        )
        if cuda_graphs and scene.folded:
            scene = replace(scene, recorded=RecordedDecode(self.folded_network(), scene))
        return scene

    def _joined_modulations(
        self, label: Tensor, edges: Tensor | None
    ) -> tuple[Mapping[str, JoinedModulation], ...]:
        """gamma and beta of every CG-Norm, on whole label maps, by the weights that a training step lends."""
        found = []
        for i, block in enumerate(self._cg_blocks()):
            factor = 2 ** (len(self.blocks) - 1 - i)
            size = (label.shape[1] // factor, label.shape[2] // factor)
            level = label_level(label, edges, size, self.config.num_classes, lookup=False)
            found.append(block.joined_modulations(level))
        return tuple(found)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As ``nn.Module.compile``, and of what :meth:`prepare` does in a training step."""
        super().compile(*args, **kwargs)
        self._joined_modulations = torch.compile(self._joined_modulations, *args, **kwargs)  # type: ignore[method-assign]

    def _placement(self, label: Tensor, latent_size: tuple[int, int]) -> CodePlacement | None:
        """Where the codes of label maps [B, H, W] lie on the grid in front of ``fc``, with ``box`` placement."""
        config = self.config
        if config.code_placement != "box":
            return None
        grid = latent_size[0] * config.code_grid, latent_size[1] * config.code_grid
        code_size = latent_size if config.latent_mode == "map" else (1, 1)
        return code_placement(label, config.num_classes, grid, code_size, self.fc.weight.dtype)

    def _divisors_to_fold(self) -> list[Mapping[str, Tensor | None]] | None:
        """The singular values of each block's convolutions, or None where they cannot be folded in."""
        config = self.config
        if self.training or config.norm_kind != "batch" or config.separate_networks:
            return None
        # Autocast would round what is folded; a model of lower precision folds first and rounds once.
        if _wants_gradients(*self.parameters()) or torch.is_autocast_enabled(self.fc.weight.device.type):
            return None
        divisors: list[Mapping[str, Tensor | None]] = [block.singular_values() for block in self._cg_blocks()]
        values = [value for block in divisors for value in block.values() if value is not None]
        # LeakyReLU commutes with a positive factor only. A device is asked once for the same weights.
        state = weights_state(self)
        if self._foldable is None or self._foldable[0] != state:
            self._foldable = state, not values or bool((torch.stack(values) > 0).all())
        return divisors if self._foldable[1] else None

    def _cg_blocks(self) -> Iterator[CGBlock]:
        for block in self.blocks:
            assert isinstance(block, CGBlock)
            yield block

    def train(self, mode: bool = True) -> GroupDecoder:
        """As ``nn.Module.train``; for evaluation the weights are laid out channels_last, for the fast form."""
        super().train(mode)
        return self if mode else self.to(memory_format=torch.channels_last)

    def first_features(self, codes: Tensor, scene: PreparedMap) -> Tensor:
        """The input [B, fc channels, h, w] of the first block."""
        x = codes if scene.placement is None else scene.placement.paste(codes)
        unused = self.config.class_slots - self.config.num_classes
        if unused:
            x = F.pad(x, (0, 0, 0, 0, 0, 0, 0, unused))
        x = x.flatten(1, 2)
        if scene.placement is None:
            x = x.expand(-1, -1, *scene.latent_size)
        else:  # a cell's part of the grid becomes channels, and each class's channels stay together
            x = F.pixel_unshuffle(x, self.config.code_grid)
        return self.fc(x.contiguous(memory_format=torch.channels_last))

    def forward(self, codes: Tensor, scene: PreparedMap) -> Tensor:
        """codes [B, C, z, h, w] (or [B, C, z, 1, 1]) and a scene of batch B or 1 -> picture [B, 3, H, W] in [-1, 1].

        On a scene of evaluation mode, without gradients, the picture is drawn group by group, and from what the
        scene has kept of the last one (:mod:`groupdnet_hub.models.fast.incremental`).

        Raises:
            ValueError: in training mode, for a scene of evaluation mode.
        """
        if scene.folded and self.training:
            raise ValueError("this scene was prepared in evaluation mode: prepare it again to train")
        fast = scene.folded and not _wants_gradients(codes, *self.parameters())
        if not fast or torch.is_autocast_enabled(codes.device.type):
            return self.activations(codes, scene)[-1]
        if scene.recorded is not None and codes.shape[0] == 1:
            return scene.recorded.draw(codes)
        return decode_folded(self.folded_network(), codes, scene)

    def folded_network(self) -> FoldedNetwork:
        """The layers as the fast form takes them."""
        blocks = tuple(self._cg_blocks())
        return FoldedNetwork(
            blocks, self.first_features, self._folded_picture, self.config.class_slots, self.fc.groups
        )

    def activations(self, codes: Tensor, scene: PreparedMap) -> Sequence[Tensor]:
        """Outputs of ``fc``, of every block (before upsampling), and the picture, or windows of them."""
        x = self.first_features(codes, scene)
        outputs = [x]
        for i, block in enumerate(self.blocks):
            if scene.window is not None and i in scene.window.inputs:
                x = scene.window.inputs[i].of(x)
            if i:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            statistics = None if scene.statistics is None else scene.statistics.get(i)
            x = block(x, scene.modulations[i], statistics)
            outputs.append(x)
        outputs.append(self._picture(x))
        return outputs

    def _picture(self, x: Tensor) -> Tensor:
        for layer in self.fusion:
            x = layer(F.leaky_relu(x, LEAKY_SLOPE))
        return torch.tanh(self.to_rgb(F.leaky_relu(x, LEAKY_SLOPE)).float()).to(self.fc.weight.dtype)

    def _folded_picture(self, x: Tensor) -> Tensor:
        """:meth:`_picture`, overwriting x; not differentiable."""
        dense = x.is_contiguous(memory_format=torch.channels_last)
        x = F.leaky_relu(x, LEAKY_SLOPE, inplace=dense)
        for layer in self.fusion:
            x = F.leaky_relu(layer(x), LEAKY_SLOPE, inplace=True)
        return torch.tanh(few_channels(x, self.to_rgb).float()).to(self.fc.weight.dtype)


def _wants_gradients(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
