"""GroupDNet: the grouped encoder and the decoder as one model, with its label set."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from groupdnet_hub.config.groupdnet import GroupDNetConfig
from groupdnet_hub.data.labels import LabelSet
from groupdnet_hub.hub.mixin import StrictHubMixin
from groupdnet_hub.models.class_order import ClassOrder
from groupdnet_hub.models.encoder import Gaussian
from groupdnet_hub.models.fast.decoder import FastDecoder
from groupdnet_hub.models.fast.gradient_checkpointing import CheckpointedEncoder
from groupdnet_hub.models.fast.prepared_map import PreparedMap
from groupdnet_hub.models.inputs import check_image, checked_edges, checked_label
from groupdnet_hub.models.mulnet import separate_networks
from groupdnet_hub.models.prior import Pictures, make_prior


class GroupDNet(nn.Module, StrictHubMixin):
    """Label map and one latent code per class to picture, and back (section 3.3, Fig. 2).

    Args:
        config: the networks and their label set.
        generator: draws the initial weights; by default they come from a generator seeded with 0.

    Attributes:
        trusts_labels: class ids are not checked again, which a GPU would have to be waited for; for training.
        has_class_codes: every class has a code of its own.
        has_encoder: pictures have codes.
    """

    config: GroupDNetConfig
    trusts_labels = False
    has_class_codes = has_encoder = True

    def __init__(self, config: GroupDNetConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.card_facts = {}
        self.labels = LabelSet(config.class_names, config.palette, config.ignore)
        if generator is None:
            generator = torch.Generator().manual_seed(0)
        self.encoder = CheckpointedEncoder(config, generator=generator)
        self.decoder = FastDecoder(config, generator=generator)
        if config.separate_networks:
            separate_networks(self, {config.num_classes, config.class_slots}, generator)
        self.prior = make_prior(
            config.code_shape, rank=config.prior_rank, codes=config.prior_codes, ties=config.prior_tie_ids
        )
        self.class_order = ClassOrder(config.class_order)

    @classmethod
    def from_smis(
        cls,
        generator: str | os.PathLike[str],
        encoder: str | os.PathLike[str] | None = None,
        *,
        preset: str | None = None,
        config: GroupDNetConfig | None = None,
    ) -> GroupDNet:
        """Return the authors' checkpoints as a model; see :func:`groupdnet_hub.convert.smis.from_smis`."""
        from groupdnet_hub.convert.smis import from_smis

        return from_smis(cls, generator, encoder, preset=preset, config=config)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.decoder.fc.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.decoder.fc.weight.dtype

    def encode(self, image: Tensor, label: Tensor) -> Gaussian:
        """Return the posterior of a picture's codes, Z ~ N(mean, exp(logvar)) (Fig. 8).

        Args:
            image: [B, 3, H, W] in [-1, 1].
            label: int64 [B, H, W], values 0..C-1.

        Returns:
            Gaussian with ``mean`` and ``logvar`` [B, C, z, h, w].

        Raises:
            ValueError: for shapes that do not fit each other or the model, or an unknown class id.
        """
        label = self._checked_label(label)
        check_image(image, label)
        slots = self.class_order.label_in_slots(label)
        posterior = self.encoder(image.to(self.device, self.dtype), slots)
        return Gaussian(*map(self.class_order.codes_by_class, (posterior.mean, posterior.logvar)))

    def prepare(
        self,
        label: Tensor,
        instance: Tensor | None = None,
        *,
        lookup: bool | None = None,
        keep: int = 1,
        compiled: bool = False,
        cuda_graphs: bool = False,
    ) -> PreparedMap:
        """Return the label map's part of :meth:`decode`, for many codes on one map.

        Args:
            label: int64 [B, H, W]; B is 1, or that of the codes.
            instance: int64 [B, H, W] instance ids, for a model with instance edges (Cityscapes) only.
            lookup: ``True`` looks gamma and beta up by the windows of the label map, the default on a CPU; elsewhere
                it is to convolve the whole map. ``False`` does so and folds nothing. The picture is the same.
            keep: how many single pictures are cached, in evaluation mode, so that :meth:`decode` of other codes
                redoes only the groups that the changed classes reach.
            compiled: in evaluation mode, scale, shift and activation run as one kernel of ``torch.compile``; the
                first pictures wait for the compiler.
            cuda_graphs: in evaluation mode, single pictures on this map are drawn by CUDA graphs, one for each
                set of groups that was redrawn; the first picture of a set is slow. They hold one picture's working
                memory, instead of ``keep`` pictures.

        Raises:
            ValueError: as :meth:`encode`, for a missing or an unused instance map, and for ``cuda_graphs`` where
                the model is not on a CUDA device.
        """
        label = self._checked_label(label)
        edges = checked_edges(instance, label, self.config.instance_edges)
        slots = self.class_order.label_in_slots(label)
        return self.decoder.prepare(
            slots, edges, lookup=lookup, keep=keep, compiled=compiled, cuda_graphs=cuda_graphs
        )

    def decode(self, codes: Tensor, label: Tensor | PreparedMap, instance: Tensor | None = None) -> Tensor:
        """Draw a label map with the appearance that codes give it, O = G(Z, M) (Fig. 2, 9).

        Args:
            codes: [B, C, z, h, w] (h = w = 1 with ``latent_mode="vector"``).
            label: int64 [B, H, W], or what :meth:`prepare` made of it.
            instance: int64 [B, H, W]; see :meth:`prepare`.

        Returns:
            [B, 3, H, W] in [-1, 1].

        Raises:
            ValueError: for codes that do not fit the model or the label map, and as :meth:`prepare`.
        """
        prepared = label if isinstance(label, PreparedMap) else self.prepare(label, instance)
        C, z = self.config.num_classes, self.config.latent_channels
        h, w = prepared.latent_size if self.config.latent_mode == "map" else (1, 1)
        if codes.ndim != 5 or codes.shape[1:] != (C, z, h, w):
            raise ValueError(
                f"codes have shape {tuple(codes.shape)}; this model and label map need [B, {C}, {z}, {h}, {w}]"
            )
        if prepared.label.shape[0] not in (1, codes.shape[0]):
            raise ValueError(
                f"{codes.shape[0]} codes cannot be drawn on {prepared.label.shape[0]} label maps"
            )
        return self.decoder(self.class_order.codes_in_slots(codes.to(self.device, self.dtype)), prepared)

    def forward(
        self,
        image: Tensor,
        label: Tensor,
        instance: Tensor | None = None,
        noise: Tensor | None = None,
        prepared: PreparedMap | None = None,
    ) -> tuple[Tensor, Gaussian]:
        """Reconstruct a picture through codes drawn from its posterior, as training does (section 3.5).

        Args:
            image: float [B, 3, H, W] in [-1, 1].
            label: int64 [B, H, W].
            instance: int64 [B, H, W], for a configuration with ``instance_edges``.
            noise: [B, C, z, h, w], standard normal; drawn here if not given.
            prepared: what :meth:`prepare` made of the label map, where other codes are decoded on it as well.

        Returns:
            (picture [B, 3, H, W], posterior).
        """
        posterior = self.encode(image, label)
        if noise is None:
            noise = torch.randn_like(posterior.mean)
        return self.decode(posterior.with_noise(noise), prepared or label, instance), posterior

    def sample_codes(
        self,
        batch: int = 1,
        *,
        generator: torch.Generator | None = None,
        label_size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Draw codes [B, C, z, h, w] from the prior: N(0, 1), or what was fitted (:mod:`groupdnet_hub.models.prior`).

        Args:
            batch: number of codes, B.
            generator: fixes them; they are drawn on its device, so that one seed means one code everywhere.
            label_size: (height, width) of the label map, where it is not the configuration's.
        """
        spatial = None
        if label_size is not None and self.config.latent_mode == "map":
            factor = self.config.size_factor
            spatial = (label_size[0] // factor, label_size[1] // factor)
        if generator is None:
            generator = torch.Generator(self.device)
            generator.seed()
        codes = self.prior.sample(batch, generator=generator, spatial=spatial)
        return codes.to(self.device, self.dtype)

    def redraw(self, codes: Tensor, class_id: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Return codes [B, C, z, h, w] with one class's drawn anew (section 4.2); all others stay as they are."""
        factor = self.config.size_factor
        size = (codes.shape[3] * factor, codes.shape[4] * factor)
        fresh = self.sample_codes(len(codes), generator=generator, label_size=size).to(codes)
        redrawn = codes.clone()
        redrawn[:, class_id] = fresh[:, class_id]
        return redrawn

    def fit_prior(self, batches: Iterable[Pictures], *, nearest: float = 1.0) -> None:
        """Fit the prior to the codes of real pictures; see :func:`groupdnet_hub.training.prior_fitting.fit_prior`."""
        from groupdnet_hub.training.prior_fitting import fit_prior

        fit_prior(self, batches, nearest=nearest)

    def with_prior(
        self, *, rank: int = 0, codes: int = 0, ties: Sequence[Sequence[str]] | None = None
    ) -> GroupDNet:
        """Return the same networks with another prior; see :func:`groupdnet_hub.training.prior_fitting.with_prior`."""
        from groupdnet_hub.training.prior_fitting import with_prior

        return with_prior(self, rank=rank, codes=codes, ties=ties)

    def _checked_label(self, label: Tensor) -> Tensor:
        num_classes = None if self.trusts_labels else self.config.num_classes
        return checked_label(label, num_classes, self.config.size_factor, self.config.image_size, self.device)
