"""Decoding group by group, so that redrawing a class redoes only the groups that its code reaches.

While a block has several groups, a class's code reaches its own group only (section 3.4). In evaluation mode
nothing else couples the groups, and so the others' features can be kept from the last picture. Where groups merge,
what the unchanged channels add to a convolution is kept as well (:mod:`groupdnet_hub.models.fast.partial_sums`). Every
group and every part of one is computed by the same operations whether or not its neighbours are, which makes a redrawn
picture the same bits as one drawn from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from groupdnet_hub.models.blocks import CGBlock
from groupdnet_hub.models.fast.modulation import FoldedModulation
from groupdnet_hub.models.fast.partial_sums import PartialSums
from groupdnet_hub.models.fast.prepared_map import CachedDecode, Pieces, PreparedMap, closest_cached

# Below so many pixels a block costs next to nothing, and all its groups are computed in one call.
_WHOLE_PIXELS = 128


@dataclass(frozen=True)
class FoldedNetwork:
    """The decoder's layers, as decoding group by group needs them.

    Attributes:
        blocks: in their order.
        first_features, to_picture: the first and last layers.
        class_slots: of the codes.
        first_groups: of the first features.
    """

    blocks: Sequence[CGBlock]
    first_features: Callable[[Tensor, PreparedMap], Tensor]
    to_picture: Callable[[Tensor], Tensor]
    class_slots: int
    first_groups: int

    def groups_of(self, classes: Collection[int]) -> frozenset[int]:
        """Groups of the first features that the codes of some classes reach."""
        return _groups_reached(classes, self.class_slots, self.first_groups)

    @torch.no_grad()
    def draw(
        self,
        codes: Tensor,
        scene: PreparedMap,
        before: Pieces | None = None,
        reached: Collection[int] = (),
        sums: Sequence[PartialSums] = (),
    ) -> tuple[Pieces, Tensor]:
        """The pieces (as :class:`CachedDecode` has them) and the picture [B, 3, H, W] of codes [B, C, z, h, w].

        Args:
            before: pieces of a picture on the same scene whose codes differ in some classes only.
            reached: the groups of the first features that these classes reach.
            sums: of each block, used and brought up to date; or none.
        """
        pieces: Sequence[Tensor] = self.first_features(codes, scene).chunk(self.first_groups, dim=1)
        reached = reached if before is not None else range(self.first_groups)
        kept = [_keep(pieces)]
        for number, (block, modulations) in enumerate(zip(self.blocks, scene.modulations, strict=True)):
            old = () if before is None else before[number + 1]
            reached = _groups_reached(reached, len(pieces), block.groups)
            pieces = block.folded_forward(
                pieces,
                cast(Mapping[str, FoldedModulation], modulations),
                upsample=number > 0,
                whole=number == 0 or scene.pixels_at(number) < _WHOLE_PIXELS,
                old={group: piece for group, piece in enumerate(old) if group not in reached},
                sums=sums[number] if sums else None,
            )
            kept.append(_keep(pieces))
        return tuple(kept), self.to_picture(
            pieces[0] if len(pieces) == 1 else torch.cat(tuple(pieces), dim=1)
        )


def decode_folded(network: FoldedNetwork, codes: Tensor, scene: PreparedMap) -> Tensor:
    """Pictures [B, 3, H, W] of codes [B, C, z, h, w] on a folded scene; keeps, and starts from, single pictures."""
    single = codes.shape[0] == 1 and scene.kept.maxlen != 0 and network.first_groups > 1
    if not single:
        return network.draw(codes, scene)[1]
    before, changed = closest_cached(scene, codes)
    if before is None:
        pieces, image = network.draw(codes, scene, sums=scene.sums)
    elif changed:
        reached = network.groups_of(changed)
        pieces, image = network.draw(codes, scene, before.pieces, reached, scene.sums)
    else:
        return before.image.clone()
    # A copy: the caller may change what it was given.
    scene.kept.append(CachedDecode(codes.clone(), pieces, image.clone()))
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
