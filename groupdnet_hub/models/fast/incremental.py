"""Decoding group by group, so that redrawing a class redoes only the groups that its code reaches.

While a block has several groups, a class's code reaches its own group only (section 3.4). In evaluation mode
nothing else couples the groups, and so the others' features can be taken from the last picture. Where groups merge,
what the unchanged channels add to a convolution is cached as well (:mod:`groupdnet_hub.models.fast.partial_sums`).
Every group and every part of one is computed by the same operations whether or not its neighbours are, which makes a
redrawn picture the same bits as one drawn from the start.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from groupdnet_hub.models.decoder import GroupDecoder
from groupdnet_hub.models.fast.convolutions import convolve_to_few_channels
from groupdnet_hub.models.fast.folded_blocks import run
from groupdnet_hub.models.fast.modulation import FoldedModulation
from groupdnet_hub.models.fast.partial_sums import PartialSums
from groupdnet_hub.models.fast.prepared_map import CachedDecode, Pieces, PreparedMap, closest_cached
from groupdnet_hub.models.fast.unfolded_blocks import blocks_of
from groupdnet_hub.models.layers import LEAKY_SLOPE

# On maps of fewer pixels a block costs next to nothing, and all its groups are computed in one call.
_ALL_GROUPS_PIXELS = 128


def decode_folded(decoder: GroupDecoder, codes: Tensor, prepared: PreparedMap) -> Tensor:
    """Return the pictures of codes on a folded map; caches single pictures and starts from a cached one.

    Args:
        decoder: the decoder.
        codes: [B, C, z, h, w].
        prepared: a folded map.

    Returns:
        [B, 3, H, W], not differentiable.
    """
    single = codes.shape[0] == 1 and prepared.cached.maxlen != 0 and decoder.fc.groups > 1
    if not single:
        return draw(decoder, codes, prepared)[1]
    before, changed = closest_cached(prepared, codes)
    if before is None:
        pieces, image = draw(decoder, codes, prepared, sums=prepared.sums)
    elif changed:
        reached = groups_of(decoder, changed)
        pieces, image = draw(decoder, codes, prepared, before.pieces, reached, prepared.sums)
    else:
        return before.image.clone()
    # A copy: the caller may change what it was given.
    prepared.cached.append(CachedDecode(codes.clone(), pieces, image.clone()))
    return image


@torch.no_grad()
def draw(
    decoder: GroupDecoder,
    codes: Tensor,
    prepared: PreparedMap,
    before: Pieces | None = None,
    reached: Collection[int] = (),
    sums: Sequence[PartialSums] = (),
) -> tuple[Pieces, Tensor]:
    """Draw codes [B, C, z, h, w] group by group.

    Args:
        decoder: the decoder.
        codes: [B, C, z, h, w].
        prepared: a folded map.
        before: pieces of a picture on the same map whose codes differ in some classes only.
        reached: the groups of the first features that these classes reach, see :func:`groups_of`.
        sums: of each block, used and brought up to date; or none.

    Returns:
        (pieces as :class:`~groupdnet_hub.models.fast.prepared_map.CachedDecode` has them, picture [B, 3, H, W]).
    """
    first_groups = decoder.fc.groups
    first = decoder.first_features(codes, prepared.latent_size, prepared.first_input)
    pieces: Sequence[Tensor] = first.chunk(first_groups, dim=1)
    reached = reached if before is not None else range(first_groups)
    drawn = [_to_cache(pieces)]
    for number, (block, modulations) in enumerate(zip(blocks_of(decoder), prepared.modulations, strict=True)):
        old = () if before is None else before[number + 1]
        reached = groups_reached(reached, len(pieces), block.groups)
        pieces = run(
            block,
            pieces,
            cast(Mapping[str, FoldedModulation], modulations),
            upsample=number > 0,
            all_groups=number == 0 or prepared.pixels_at(number) < _ALL_GROUPS_PIXELS,
            old={group: piece for group, piece in enumerate(old) if group not in reached},
            sums=sums[number] if sums else None,
        )
        drawn.append(_to_cache(pieces))
    return tuple(drawn), _picture(decoder, pieces[0] if len(pieces) == 1 else torch.cat(tuple(pieces), dim=1))


def groups_of(decoder: GroupDecoder, classes: Collection[int]) -> frozenset[int]:
    """Return the groups of the first features that the codes of some classes reach."""
    return groups_reached(classes, decoder.config.class_slots, decoder.fc.groups)


def groups_reached(reached: Collection[int], before: int, groups: int) -> frozenset[int]:
    """Return the groups of a block whose input channels overlap those of groups reached before.

    The channels are divided evenly into ``before`` groups, and into ``groups``, which need not nest.
    """
    overlapping: set[int] = set()
    for group in reached:
        first, last = group * groups // before, -(-(group + 1) * groups // before)
        overlapping.update(range(first, last))
    return frozenset(overlapping)


def _picture(decoder: GroupDecoder, x: Tensor) -> Tensor:
    """Do as :meth:`GroupDecoder.picture`, overwriting x; not differentiable."""
    dense = x.is_contiguous(memory_format=torch.channels_last)
    x = F.leaky_relu(x, LEAKY_SLOPE, inplace=dense)
    for layer in decoder.fusion:
        x = F.leaky_relu(layer(x), LEAKY_SLOPE, inplace=True)
    rgb = convolve_to_few_channels(decoder.to_rgb, x)
    return torch.tanh(rgb.float()).to(decoder.fc.weight.dtype)


def _to_cache(pieces: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return what is cached of features: nothing where there is one group, since any code reaches it."""
    return tuple(pieces) if len(pieces) > 1 else ()
