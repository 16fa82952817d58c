"""A trained model as the start of one for other classes: what they share is carried over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from groupdnet_hub.convert.transfer_plan import ClassOrigin, SlotSources, class_origins, config_for_classes
from groupdnet_hub.data.labels import LabelSet
from groupdnet_hub.models.blocks import CGBlock, CGNorm
from groupdnet_hub.models.groupdnet import GroupDNet
from groupdnet_hub.models.layers import GroupedConv2d


@dataclass(frozen=True)
class CarriedPart:
    """How much of one part of the network was taken over.

    Attributes:
        name: ``encoder``, ``fc``, ``block 0``, ..., ``to_rgb``, or another part with values for each class.
        taken: parameters that come from the old model.
        total: all parameters of the part.
    """

    name: str
    taken: int
    total: int


@dataclass(frozen=True)
class TransferReport:
    """What :func:`transfer_classes` carried over.

    Attributes:
        origins: where each class of the new model starts from.
        mixed_from: for each class the first decoder block in which its group was another one before, so that it
            is drawn only in part as it was; None where all of it was kept, and for a fresh class.
        unused: old classes that are not in the new model.
        parts: how much of each of the network's parts.
    """

    origins: tuple[ClassOrigin, ...]
    mixed_from: tuple[int | None, ...]
    unused: tuple[str, ...]
    parts: tuple[CarriedPart, ...]

    def table(self) -> str:
        """Return the report as text: one row for each class, then one for each part."""
        rows = [("class", "starts from", "kept")]
        for origin, mixed in zip(self.origins, self.mixed_from, strict=True):
            if origin.source is None:
                rows.append((origin.name, "fresh", ""))
                continue
            kept = "all layers" if mixed is None else f"up to block {mixed}, where its group has changed"
            rows.append((origin.name, "itself" if origin.carried else origin.source, kept))
        lines = _aligned(rows)
        if self.unused:
            lines.append(f"not used: {', '.join(self.unused)}")
        if any(mixed is not None for mixed in self.mixed_from):
            lines.append(
                "A class keeps its groups where new classes come after the old ones, in the old order."
            )
        total = CarriedPart("all", sum(p.taken for p in self.parts), sum(p.total for p in self.parts))
        rows = [("part", "parameters", "taken over")]
        rows += [(p.name, f"{p.total:,}", f"{p.taken / max(1, p.total):.1%}") for p in (*self.parts, total)]
        return "\n".join([*lines, "", *_aligned(rows)])


def _aligned(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def transfer_classes(
    model: GroupDNet,
    labels: LabelSet,
    *,
    init_from: Mapping[str, str] | None = None,
    generator: torch.Generator | None = None,
) -> tuple[GroupDNet, TransferReport]:
    """Return a model for ``labels`` that starts from ``model``: classes of the same name keep their weights.

    A class's encoder, its codes and its layers with one group for each class are copied as they are. Where groups
    hold several classes, each group follows the old one that most of its classes come from, and connections that
    the old network did not have start at zero. The last, ungrouped layers are kept whole. So, where groups hold
    whole classes, fresh classes behind the old ones leave every old picture as it is, whatever their codes, and
    classes in another order do if whole groups moved.

    Batch-norm statistics go with their channels. Spectrally normalised layers are divided by the same number as
    before, until training measures their singular values anew.

    Args:
        model: the old model; it is not changed.
        labels: the new label set.
        init_from: for classes that ``model`` does not have, the old class whose weights they start with.
        generator: draws the weights of fresh classes; by default one seeded with 0.

    Returns:
        (model for ``labels``, report).

    Raises:
        ValueError: for an unknown or needless name in ``init_from``, label sets without a common class, and a
            network that cannot be widened.
    """
    origins = class_origins(model.labels, labels, init_from)
    config = config_for_classes(model.config, labels)
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    new = GroupDNet(config, generator=generator).to(model.device, model.dtype)
    slots = SlotSources.from_origins(origins, model.config, config.class_slots)
    classes = torch.tensor([-1 if o.source is None else model.labels.id_of(o.source) for o in origins])

    layers = [*_encoder_layers(model, new, classes), *_decoder_layers(model, new, classes, slots)]
    taken: dict[str, int] = {}
    totals: dict[str, int] = {}
    with torch.no_grad():
        for layer in layers:
            taken[layer.part] = taken.get(layer.part, 0) + layer.carry_over(generator)
            parameters = sum(p.numel() for p in layer.new.parameters())
            totals[layer.part] = totals.get(layer.part, 0) + parameters
        _carry_rows(model, new, classes)
    new.card_facts = {
        key: value for key, value in model.card_facts.items() if key not in ("metrics", "evaluation")
    }
    new.train(model.training)

    groups = [block.groups for block in model.config.blocks]
    report = TransferReport(
        origins=origins,
        mixed_from=tuple(
            None if o.source is None else slots.first_mixed_block(i, groups) for i, o in enumerate(origins)
        ),
        unused=tuple(n for n in model.labels.names if all(o.source != n for o in origins)),
        parts=tuple(CarriedPart(part, taken[part], total) for part, total in totals.items()),
    )
    return new, report


@dataclass(frozen=True)
class _Layer:
    """A convolution or batch normalisation in both networks, and the old channel (or -1) of each new one.

    Attributes:
        part: of the network, for the report.
        outputs: int64 [output channels].
        inputs: int64 [input channels], all groups together; for a normalisation that of ``outputs``.
    """

    part: str
    old: nn.Module
    new: nn.Module
    outputs: Tensor
    inputs: Tensor

    def carry_over(self, generator: torch.Generator) -> int:
        """Copy what the old layer has; the number of parameters that were copied."""
        if isinstance(self.old, GroupedConv2d) and isinstance(self.new, GroupedConv2d):
            taken = _carry_convolution(self.old, self.new, self.outputs, self.inputs)
            _carry_singular_vectors(self.old, self.new, self.outputs, generator)
            return taken
        if isinstance(self.old, nn.BatchNorm2d):
            _carry_statistics(self.old, self.new, self.outputs)
        return 0  # neither normalisation has parameters


def _carry_convolution(old: GroupedConv2d, new: GroupedConv2d, outputs: Tensor, inputs: Tensor) -> int:
    """Copy each weight between channels that were connected; zero between old channels and any others.

    A fresh output channel keeps its fresh weights.
    """
    outputs, inputs = outputs.to(new.weight.device), inputs.to(new.weight.device)
    width, old_width = new.weight.shape[1], old.weight.shape[1]
    rows = torch.arange(len(outputs), device=outputs.device)
    group = rows // (new.out_channels // new.groups)
    sources = inputs[group[:, None] * width + torch.arange(width, device=inputs.device)]
    # Position inside the old group; outside of it there was no connection.
    place = sources - (outputs // (old.out_channels // old.groups) * old_width)[:, None]
    from_old = (outputs >= 0)[:, None]
    connected = from_old & (sources >= 0) & (place >= 0) & (place < old_width)
    copied = old.weight[outputs.clamp(min=0)[:, None], place.clamp(0, old_width - 1)]
    zero = torch.zeros((), dtype=copied.dtype, device=copied.device)
    kept = torch.where(connected[..., None, None], copied, zero)
    new.weight.copy_(torch.where(from_old[..., None, None], kept, new.weight))
    taken = int(connected.sum()) * new.weight[0, 0].numel()
    if new.bias is not None and old.bias is not None:
        new.bias.copy_(torch.where(outputs >= 0, old.bias[outputs.clamp(min=0)], new.bias))
        taken += int((outputs >= 0).sum())
    return taken


def _carry_singular_vectors(
    old: GroupedConv2d, new: GroupedConv2d, outputs: Tensor, generator: torch.Generator
) -> None:
    """Divide by the old layer's singular value, so that what was carried over stays as large as it was.

    The new weight's vectors are scaled to give that value; the first training step makes them unit vectors again.
    """
    if not new.spectral_norm or not bool((outputs >= 0).any()):
        return
    if torch.equal(old.weight, new.weight):
        new.weight_u.copy_(old.weight_u)
        new.weight_v.copy_(old.weight_v)
        return
    new.find_singular_vectors(generator)
    new.weight_u.mul_(old.singular_value() / new.singular_value())


def _carry_statistics(old: nn.BatchNorm2d, new: nn.Module, outputs: Tensor) -> None:
    for name, statistic in new.named_buffers():
        before = old.get_buffer(name)
        if statistic.ndim:
            sources = outputs.to(statistic.device)
            before = torch.where(sources >= 0, before[sources.clamp(min=0)], statistic)
        statistic.copy_(before)


def _carry_rows(old: GroupDNet, new: GroupDNet, classes: Tensor) -> None:
    """Carry all but encoder and decoder: rows of the classes [C, ...], and values that all classes have in common."""
    before = old.state_dict()
    for name, value in new.state_dict().items():
        if name.startswith(("encoder.", "decoder.")):
            continue
        if value.ndim and len(value) == len(classes) and len(before[name]) == old.config.num_classes:
            here = (classes >= 0).to(value.device)
            value[here] = before[name][classes[classes >= 0].to(value.device)]
        else:
            value.copy_(before[name])


def _each(classes: Tensor, channels: int) -> Tensor:
    """Return channel sources of classes that have ``channels`` each."""
    return torch.where(
        classes[:, None] < 0, -1, classes[:, None] * channels + torch.arange(channels)
    ).flatten()


def _encoder_layers(old: GroupDNet, new: GroupDNet, classes: Tensor) -> Iterable[_Layer]:
    config = old.config
    inputs = _each(classes, 3)
    for before, after, multiple in zip(
        old.encoder.layers, new.encoder.layers, config.encoder_multipliers, strict=True
    ):
        outputs = _each(classes, config.encoder_width * multiple // config.num_classes)
        yield _Layer("encoder", before, after, outputs, inputs)
        inputs = outputs
    codes = _each(classes, config.latent_channels)
    inputs = _each(classes, old.encoder.mean.in_channels // config.num_classes)
    yield _Layer("encoder", old.encoder.mean, new.encoder.mean, codes, inputs)
    yield _Layer("encoder", old.encoder.logvar, new.encoder.logvar, codes, inputs)


def _decoder_layers(old: GroupDNet, new: GroupDNet, classes: Tensor, slots: SlotSources) -> Iterable[_Layer]:
    config = old.config
    S = config.class_slots
    x = slots.channels(S, config.fc_channels)
    # A fresh class in a slot that was spare keeps the slot's constant; its code first adds nothing to it.
    codes = _each(torch.cat((classes, torch.tensor(slots.source)[len(classes) :])), config.code_channels)
    labels = slots.channels(S, config.label_channels)
    yield _Layer("fc", old.decoder.fc, new.decoder.fc, x, codes)
    before = config.fc_channels
    for i, (block, was, now) in enumerate(
        zip(config.blocks, old.decoder.blocks, new.decoder.blocks, strict=True)
    ):
        assert isinstance(was, CGBlock)
        assert isinstance(now, CGBlock)
        part = f"block {i}"
        middle = slots.channels(block.groups, min(before, block.out_channels))
        # Where the skip is x itself, each output channel goes with the input channel that is added to it.
        out = slots.channels(block.groups, block.out_channels) if was.has_skip_convolution else x
        hidden = slots.channels(block.label_groups, block.hidden_channels)
        yield _Layer(part, was.conv_0, now.conv_0, middle, x)
        yield _Layer(part, was.conv_1, now.conv_1, out, middle)
        yield from _norm_layers(part, was.norm_0, now.norm_0, x, hidden, labels)
        yield from _norm_layers(part, was.norm_1, now.norm_1, middle, hidden, labels)
        if was.has_skip_convolution:
            yield _Layer(part, was.conv_s, now.conv_s, out, x)
            yield from _norm_layers(part, was.norm_s, now.norm_s, x, hidden, labels)
        x, before = out, block.out_channels
    yield _Layer("to_rgb", old.decoder.to_rgb, new.decoder.to_rgb, torch.arange(3), x)


def _norm_layers(
    part: str, was: CGNorm, now: CGNorm, channels: Tensor, hidden: Tensor, labels: Tensor
) -> Iterable[_Layer]:
    yield _Layer(part, was.norm, now.norm, channels, channels)
    yield _Layer(part, was.shared, now.shared, hidden, labels)
    yield _Layer(part, was.gamma, now.gamma, channels, hidden)
    yield _Layer(part, was.beta, now.beta, channels, hidden)
