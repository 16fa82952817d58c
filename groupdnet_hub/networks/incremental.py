"""Decoding group by group, so that redrawing a class redoes only the groups that its code reaches.

While a block has several groups, a class's code reaches its own group only (section 3.4). In evaluation mode
nothing else couples the groups, and so the others' features can be kept from the last picture. Every group is
computed by the same operations whether or not its neighbours are, which makes a redrawn picture the same bits as
one drawn from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor

from groupdnet_hub.networks.blocks import CGBlock
from groupdnet_hub.networks.modulation import FoldedModulation
from groupdnet_hub.networks.scene import KeptDecode, Scene, nearest_kept

# Below so many pixels a block costs next to nothing, and all its groups are computed in one call.
_WHOLE_PIXELS = 128


@torch.no_grad()
def decode_folded(
    codes: Tensor,
    scene: Scene,
    blocks: Sequence[CGBlock],
    first_features: Callable[[Tensor, Scene], Tensor],
    to_picture: Callable[[Tensor], Tensor],
    first_groups: tuple[int, int],
) -> Tensor:
    """Pictures of codes [B, C, z, h, w] on a folded scene; keeps, and starts from, single pictures.

    Args:
        first_features, to_picture: the decoder's first and last layers.
        first_groups: class slots, and the groups of the first features.

    Returns:
        [B, 3, H, W].
    """
    class_slots, groups = first_groups
    single = codes.shape[0] == 1 and scene.kept.maxlen != 0 and groups > 1
    before, changed = nearest_kept(scene, codes) if single else (None, ())
    if before is not None and not changed:
        return before.image.clone()
    pieces = first_features(codes, scene).chunk(groups, dim=1)
    reached: Collection[int] = range(groups)
    if before is not None:
        reached = _groups_reached(changed, class_slots, groups)
    kept = [_keep(pieces)]
    for number, (block, modulations) in enumerate(zip(blocks, scene.modulations, strict=True)):
        old = () if before is None else before.pieces[number + 1]
        reached = _groups_reached(reached, len(pieces), block.groups)
        pieces = block.folded_forward(
            pieces,
            cast(Mapping[str, FoldedModulation], modulations),
            upsample=number > 0,
            whole=number == 0 or scene.pixels_at(number) < _WHOLE_PIXELS,
            old={group: piece for group, piece in enumerate(old) if group not in reached},
        )
        kept.append(_keep(pieces))
    image = to_picture(pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1))
    if single:
        # A copy: the caller may change what it was given.
        scene.kept.append(KeptDecode(codes.clone(), tuple(kept), image.clone()))
    return image


def _keep(pieces: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(pieces) if len(pieces) > 1 else ()


def _groups_reached(reached: Collection[int], before: int, groups: int) -> frozenset[int]:
    """Groups of a block whose input channels overlap those of groups reached before.

    The channels are divided evenly into ``before`` groups, and into ``groups``, which need not nest.
    """
    overlapping: set[int] = set()
    for group in reached:
        first, last = group * groups // before, -(-(group + 1) * groups // before)
        overlapping.update(range(first, last))
    return frozenset(overlapping)
