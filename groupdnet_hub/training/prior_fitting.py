"""A prior fitted to the codes of real pictures, once the encoder is trained (not in the paper).

Of each class those pictures' codes may count alone that are decoded nearest to the picture: what codes cannot tell
(prints, open jackets) is drawn as a pattern that looks like nothing. Rejecting the codes of such pictures gives up some
variety for plainer pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from groupdnet_hub.data.labels import one_hot, shown_classes
from groupdnet_hub.data.unknown import mark_unknown, with_grey_unknown
from groupdnet_hub.models.groupdnet import GroupDNet
from groupdnet_hub.models.prior import EmpiricalPrior, Encoded, Pictures, make_prior, shown_together


def with_prior(
    model: GroupDNet, *, rank: int = 0, codes: int = 0, ties: Sequence[Sequence[str]] | None = None
) -> GroupDNet:
    """Return the same networks with another prior, not fitted yet; the weights are shared with ``model``.

    Args:
        model: the model whose networks are taken.
        rank: ``prior_rank`` of the configuration.
        codes: ``prior_codes`` of the configuration.
        ties: ``prior_ties`` of the configuration; by default the model's own, where codes are kept.

    Raises:
        ValueError: for both at once, ties without codes, and what is out of range.
    """
    if ties is None:
        ties = model.config.prior_ties if codes else ()
    config = model.config.replace(prior_rank=rank, prior_codes=codes, prior_ties=ties)
    with torch.device("meta"):
        other = GroupDNet(config)
    other.encoder, other.decoder, other.class_order = model.encoder, model.decoder, model.class_order
    other.prior = make_prior(
        config.code_shape, rank=config.prior_rank, codes=config.prior_codes, ties=config.prior_tie_ids
    ).to(model.device)
    other.card_facts, other.card_text = model.card_facts, model.card_text
    return other.train(model.training)


@torch.no_grad()
def fit_prior(model: GroupDNet, batches: Iterable[Pictures], *, nearest: float = 1.0) -> None:
    """Fit a model's prior to the codes of real pictures.

    Args:
        model: the model, whose prior changes in place.
        batches: image [B, 3, H, W] in [-1, 1] and label int64 [B, H, W], of the configuration's size, and the instance
            map int64 [B, H, W] for a model with instance edges and ``nearest`` below 1, which decodes; or batches of a
            data set, by name. Pixels that their ``unknown`` marks belong to no code, and a class that is shown there
            alone is not shown.
        nearest: of the pictures that show a class, the fraction whose codes count: those that are decoded nearest
            to the picture in the class's region. Below 1, all pictures are decoded and their codes are held in
            memory.

    Raises:
        ValueError: for a model whose prior is N(0, 1), a fraction out of range, and as :meth:`GroupDNet.encode`.
    """
    if not 0 < nearest <= 1:
        raise ValueError(f"nearest is {nearest}; it must be a fraction, above 0 and at most 1")
    config = model.config

    def encoded(batch: Mapping[str, Tensor]) -> Encoded:
        # Encoding checks the ids.
        codes = model.encode(with_grey_unknown(batch)["image"], batch["label"])
        known = mark_unknown(batch["label"], batch.get("unknown"))
        return codes, shown_classes(known, config.num_classes).cpu()

    was_training = model.training
    model.eval()
    if nearest == 1:
        model.prior.fit(encoded(_by_name(batch)) for batch in batches)
    else:
        all_encoded, differences = [], []
        for batch in map(_by_name, batches):
            image, label = batch["image"], batch["label"]
            instance = batch.get("instance") if config.instance_edges else None
            if config.instance_edges and instance is None:
                raise ValueError(
                    "this model draws instance edges, and nearest below 1 decodes: give each batch its instance map too"
                )
            all_encoded.append(encoded(batch))
            decoded = model.decode(all_encoded[-1][0].mode(), label, instance).to(image.device)
            found = region_differences(decoded, image, label, config.num_classes, batch.get("unknown"))
            differences.append(found.cpu())
        model.prior.fit(nearest_decoded(all_encoded, differences, nearest, config.prior_tie_ids))
    model.train(was_training)
    if isinstance(model.prior, EmpiricalPrior):
        for names, ids in zip(config.prior_ties, config.prior_tie_ids, strict=True):
            if not model.prior.count[ids[0]]:
                raise ValueError(
                    f"no picture shows {' and '.join(names)} together: take prior_ties without them"
                )


def _by_name(batch: Pictures) -> Mapping[str, Tensor]:
    return (
        batch
        if isinstance(batch, Mapping)
        else dict(zip(("image", "label", "instance"), batch, strict=False))
    )


def region_differences(
    one: Tensor, other: Tensor, label: Tensor, num_classes: int, unknown: Tensor | None = None
) -> Tensor:
    """Return the mean absolute difference of pictures [B, 3, H, W] in the region of each class.

    Args:
        one: float [B, 3, H, W].
        other: float [B, 3, H, W].
        label: int64 [B, H, W].
        num_classes: number of classes, C.
        unknown: bool [B, H, W], pixels that are in no region; by default none.

    Returns:
        float32 [B, C]; 0 for classes that a label map does not show.
    """
    regions = one_hot(label, num_classes)
    if unknown is not None:
        regions = regions.masked_fill_(unknown[:, None], 0)
    regions = regions.flatten(2)
    difference = (one.float() - other.float()).abs().mean(dim=1).flatten(1)
    return torch.einsum("bcp,bp->bc", regions, difference) / regions.sum(dim=2).clamp(min=1)


def nearest_decoded(
    encoded: Sequence[Encoded],
    differences: Sequence[Tensor],
    fraction: float,
    ties: Sequence[Sequence[int]] = (),
) -> Iterator[Encoded]:
    """Yield the same batches, but a class counts as shown only by the pictures that differ least from their decoding.

    Args:
        encoded: codes of batches, and the classes that they show.
        differences: [B, C] of each batch, see :func:`region_differences`.
        fraction: of the pictures that show a class, how many count; at least one does.
        ties: ids of classes that are to count for the same pictures: those that show all of them, and differ least
            on their average.
    """
    shown = shown_together(torch.cat([shown for _, shown in encoded]), ties)
    of_all = torch.cat(list(differences))
    for tie in ties:
        of_all[:, list(tie)] = of_all[:, list(tie)].mean(dim=1, keepdim=True)
    counted = torch.zeros_like(shown)
    for class_id, of_class in enumerate(of_all.T):
        (numbers,) = torch.nonzero(shown[:, class_id], as_tuple=True)
        order = of_class[numbers].argsort(stable=True)
        counted[numbers[order[: max(1, round(fraction * len(numbers)))]], class_id] = True
    sizes = [len(batch) for _, batch in encoded]
    for (posterior, _), batch in zip(encoded, counted.split(sizes), strict=True):
        yield posterior, batch
