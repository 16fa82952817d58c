"""GroupDNet: the grouped encoder and the decoder as one model, with its label set."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from groupdnet_hub.config.groupdnet import GroupDNetConfig
from groupdnet_hub.config.presets import PRESETS
from groupdnet_hub.convert.smis_keys import encoder_key, generator_key, is_dead_generator_key
from groupdnet_hub.convert.smis_weights import (
    LICENSE,
    LICENSE_NOTE,
    UNTRAINED_ENCODER,
    matched,
    read_checkpoint,
)
from groupdnet_hub.data.labels import LabelSet, shown_classes
from groupdnet_hub.hub.mixin import StrictHubMixin
from groupdnet_hub.models.class_order import ClassOrder
from groupdnet_hub.models.decoder import GroupDecoder
from groupdnet_hub.models.encoder import Gaussian, GroupEncoder
from groupdnet_hub.models.fast.prepared_map import PreparedMap
from groupdnet_hub.models.inputs import check_image, checked_edges, checked_label
from groupdnet_hub.models.mulnet import separate_networks
from groupdnet_hub.models.nearest_codes import nearest_decoded, region_differences
from groupdnet_hub.models.prior import CodePrior, EmpiricalPrior, Encoded, make_prior


class GroupDNet(nn.Module, StrictHubMixin):
    """Label map and one latent code per class to picture, and back (Fig. 2).

    Args:
        config: the networks and their label set.
        generator: draws the initial weights; by default they come from a generator seeded with 0.

    Attributes:
        trusts_labels: class ids are not checked again, which a GPU would have to be waited for: for a training loop
            whose data were checked when they were read.
    """

    config: GroupDNetConfig
    trusts_labels = False

    def __init__(self, config: GroupDNetConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.card_facts = {}
        self.labels = LabelSet(config.class_names, config.palette)
        if generator is None:
            generator = torch.Generator().manual_seed(0)
        self.encoder = GroupEncoder(config, generator=generator)
        self.decoder = GroupDecoder(config, generator=generator)
        if config.separate_networks:
            separate_networks(self, {config.num_classes, config.class_slots}, generator)
        self.prior = self._new_prior(config)
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
        """The authors' checkpoints as a model, ready for :meth:`save_pretrained`.

        Args:
            generator, encoder: ``*_net_G.pth`` and ``*_net_E.pth`` (tensors only, no pickled code), or safetensors.
            preset: ``deepfashion``, ``cityscapes`` or ``ade20k``; or a ``config``, for other widths.

        Raises:
            ValueError: for an unreadable file, an unknown or missing key or a wrong shape; each is named.

        Warns:
            UserWarning: if there is no encoder, so that ``encode`` means nothing.
        """
        if config is None:
            if preset is None:
                raise ValueError(f"name a preset ({', '.join(PRESETS)}) or a configuration")
            config = GroupDNetConfig.preset(preset)
        originals, notes = read_checkpoint(generator), []
        model = cls(config)
        dead = [key for key in originals if is_dead_generator_key(key)]
        if dead:
            notes.append(
                f"{len(dead)} tensors that the original network never uses were left out ({dead[0]}, ...)."
            )
        live = {key: value for key, value in originals.items() if key not in dead}
        name = Path(generator).name
        model.decoder.load_state_dict(matched(live, generator_key, model.decoder.state_dict(), name))
        if encoder is None:
            notes.append(UNTRAINED_ENCODER)
            warnings.warn(UNTRAINED_ENCODER, stacklevel=2)
        else:
            name = Path(encoder).name
            encoder_tensors = matched(read_checkpoint(encoder), encoder_key, model.encoder.state_dict(), name)
            model.encoder.load_state_dict(encoder_tensors)
        model.card_facts = {"license": LICENSE, "license_note": LICENSE_NOTE, "notes": notes}
        return model.eval()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.decoder.fc.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.decoder.fc.weight.dtype

    def encode(self, image: Tensor, label: Tensor) -> Gaussian:
        """The posterior of the codes of a picture.

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
        """The label map's part of :meth:`decode`, for many codes on one map.

        Args:
            label: int64 [B, H, W]; B is 1, or that of the codes.
            instance: int64 [B, H, W] instance ids, for a model with instance edges (Cityscapes) only.
            lookup: ``True`` looks gamma and beta up by the windows of the label map, as a CPU does by default;
                elsewhere the default is to convolve the whole map, for which nothing has to wait. ``False`` does the
                work of the paper's network. The result is the same.
            keep: how many single pictures the scene keeps, in evaluation mode, so that :meth:`decode` of other
                codes redoes only the groups that the changed classes reach.
            compiled: in evaluation mode, scale, shift and activation run as one kernel of ``torch.compile``, and so
                does what folds the whole map's, where it is convolved. The first pictures wait for the compiler.
            cuda_graphs: in evaluation mode, single pictures on this scene are drawn by CUDA graphs, one for each
                set of groups that was redrawn; the first picture of a set is slow. They hold one picture's working
                memory, instead of ``keep`` pictures.

        Raises:
            ValueError: as :meth:`encode`, for a missing or an unused instance map, and for ``cuda_graphs`` where
                the model is not on a CUDA device.
        """
        label = self._checked_label(label)
        edges = checked_edges(instance, label, self.config.instance_edges)
        return self.decoder.prepare(
            self.class_order.label_in_slots(label),
            edges,
            lookup=lookup,
            keep=keep,
            compiled=compiled,
            cuda_graphs=cuda_graphs,
        )

    def decode(self, codes: Tensor, label: Tensor | PreparedMap, instance: Tensor | None = None) -> Tensor:
        """The picture of a label map with the given appearance.

        Args:
            codes: [B, C, z, h, w] (h = w = 1 with ``latent_mode="vector"``).
            label: int64 [B, H, W], or what :meth:`prepare` made of it.
            instance: int64 [B, H, W]; see :meth:`prepare`.

        Returns:
            [B, 3, H, W] in [-1, 1].

        Raises:
            ValueError: for codes that do not fit the model or the label map, and as :meth:`prepare`.
        """
        scene = label if isinstance(label, PreparedMap) else self.prepare(label, instance)
        C, z = self.config.num_classes, self.config.latent_channels
        spatial = scene.latent_size if self.config.latent_mode == "map" else (1, 1)
        if codes.ndim != 5 or codes.shape[1:] != (C, z, *spatial):
            raise ValueError(
                f"codes have shape {tuple(codes.shape)}; this model and label map need [B, {C}, {z}, "
                f"{spatial[0]}, {spatial[1]}]"
            )
        if scene.label.shape[0] not in (1, codes.shape[0]):
            raise ValueError(f"{codes.shape[0]} codes cannot be drawn on {scene.label.shape[0]} label maps")
        return self.decoder(self.class_order.codes_in_slots(codes.to(self.device, self.dtype)), scene)

    def forward(
        self,
        image: Tensor,
        label: Tensor,
        instance: Tensor | None = None,
        noise: Tensor | None = None,
        scene: PreparedMap | None = None,
    ) -> tuple[Tensor, Gaussian]:
        """Reconstruction through sampled codes, the generator's training step (Eq. 1).

        Args:
            noise: [B, C, z, h, w], standard normal; drawn here if not given.
            scene: what :meth:`prepare` made of the label map, where other codes are decoded on it as well.

        Returns:
            (picture [B, 3, H, W], posterior).
        """
        posterior = self.encode(image, label)
        if noise is None:
            noise = torch.randn_like(posterior.mean)
        return self.decode(posterior.with_noise(noise), scene or label, instance), posterior

    def sample_codes(
        self,
        batch: int = 1,
        *,
        generator: torch.Generator | None = None,
        label_size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Codes [B, C, z, h, w] from the prior: N(0, 1), or what was fitted (see ``networks/prior.py``).

        Args:
            generator: fixes them; they are drawn on its device, so that one seed means one code everywhere.
            label_size: (height, width) of the label map, where it is not the configuration's.
        """
        spatial = None
        if label_size is not None and self.config.latent_mode == "map":
            factor = 2 ** (len(self.config.blocks) - 1)
            spatial = (label_size[0] // factor, label_size[1] // factor)
        if generator is None:
            generator = torch.Generator(self.device)
            generator.seed()
        codes = self.prior.sample(batch, generator=generator, spatial=spatial)
        return codes.to(self.device, self.dtype)

    @property
    def has_class_codes(self) -> bool:
        """True: every class has a code of its own."""
        return True

    @property
    def has_encoder(self) -> bool:
        """True: pictures have codes."""
        return True

    def redraw(self, codes: Tensor, class_id: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Codes [B, C, z, h, w] with those of one class drawn anew (Eq. 7); all others stay as they are."""
        factor = 2 ** (len(self.config.blocks) - 1)
        size = (codes.shape[3] * factor, codes.shape[4] * factor)
        fresh = self.sample_codes(len(codes), generator=generator, label_size=size).to(codes)
        redrawn = codes.clone()
        redrawn[:, class_id] = fresh[:, class_id]
        return redrawn

    @torch.no_grad()
    def fit_prior(self, batches: Iterable[tuple[Tensor, Tensor]], *, nearest: float = 1.0) -> None:
        """Fit the prior to the codes of real pictures, once the encoder is trained.

        Args:
            batches: image [B, 3, H, W] in [-1, 1] and label int64 [B, H, W], of the configuration's size.
            nearest: of the pictures that show a class, the share whose codes count: those that are decoded nearest
                to the picture in the class's region. Below 1, all pictures are decoded and their codes are held in
                memory.

        Raises:
            ValueError: for a model whose prior is N(0, 1), a share that is none, and as :meth:`encode`.
        """
        if not 0 < nearest <= 1:
            raise ValueError(f"nearest is {nearest}; it is a share, above 0 and at most 1")

        def encoded(image: Tensor, label: Tensor) -> Encoded:
            # Encoding checks the ids.
            return self.encode(image, label), shown_classes(label, self.config.num_classes).cpu()

        was_training = self.training
        self.eval()
        if nearest == 1:
            self.prior.fit(encoded(*batch) for batch in batches)
        else:
            kept, differences = [], []
            for image, label in batches:
                kept.append(encoded(image, label))
                decoded = self.decode(kept[-1][0].mode(), label).to(image.device)
                differences.append(region_differences(decoded, image, label, self.config.num_classes).cpu())
            self.prior.fit(nearest_decoded(kept, differences, nearest, self.config.prior_tie_ids))
        self.train(was_training)
        if isinstance(self.prior, EmpiricalPrior):
            for names, ids in zip(self.config.prior_ties, self.config.prior_tie_ids, strict=True):
                if not self.prior.count[ids[0]]:
                    raise ValueError(
                        f"no picture shows {' and '.join(names)} together: take prior_ties without them"
                    )

    def with_prior(
        self, *, rank: int = 0, codes: int = 0, ties: Sequence[Sequence[str]] | None = None
    ) -> GroupDNet:
        """The same networks with another prior, not fitted yet; the weights are shared with this model.

        Args:
            rank: ``prior_rank`` of the configuration.
            codes: ``prior_codes`` of the configuration.
            ties: ``prior_ties`` of the configuration; by default this model's own, where codes are kept.

        Raises:
            ValueError: for both at once, ties without codes, and what is out of range.
        """
        if ties is None:
            ties = self.config.prior_ties if codes else ()
        config = self.config.replace(prior_rank=rank, prior_codes=codes, prior_ties=ties)
        with torch.device("meta"):
            other = GroupDNet(config)
        other.encoder, other.decoder, other.class_order = self.encoder, self.decoder, self.class_order
        other.prior = self._new_prior(config).to(self.device)
        other.card_facts = self.card_facts
        return other.train(self.training)

    @staticmethod
    def _new_prior(config: GroupDNetConfig) -> CodePrior:
        return make_prior(
            config.code_shape, rank=config.prior_rank, codes=config.prior_codes, ties=config.prior_tie_ids
        )

    def _checked_label(self, label: Tensor) -> Tensor:
        factor = 2 ** (len(self.config.blocks) - 1)
        num_classes = None if self.trusts_labels else self.config.num_classes
        return checked_label(label, num_classes, factor, self.config.image_size, self.device)
