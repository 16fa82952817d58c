"""The MATLAB label maps of Clothing Co-Parsing (W. Yang, P. Luo, L. Lin, CVPR 2014), in 8 or 16 classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from groupdnet_hub import LabelSet
from groupdnet_hub.data.people import BACKGROUND, PEOPLE, id_in
from groupdnet_hub.data.person_maps import body_rows, remove_specks, without_bags
from groupdnet_hub.prepare.labels import CCP, rules_for
from groupdnet_hub.prepare.matlab import read_numbers, read_texts
from groupdnet_hub.prepare.people import UNDECIDED, fill_nearest, find_face, merge

# Tags of garments above the hips: a "dress" that begins low, under one of them, is a skirt.
_UPPER = {tag for tag, class_ in rules_for(PEOPLE, CCP).items() if class_ == "top-clothes"}
# Percentage of such a skirt's pixels that may be higher, such as a corner of its outline beside the arm. At 0, as in
# all maps of the 8 classes, 8 of 88 skirts stay dresses.
_STRAY = {8: 0, 16: 2}


def read_tags(path: Path) -> tuple[str, ...]:
    """Read the tags of ``label_list.mat``, in the order of their ids.

    Raises:
        ValueError: if they are not the data set's tags.
    """
    tags = read_texts(path, "label_list")
    strange = [tag for tag in tags if tag not in CCP]
    if strange or tags[:1] != ("null",) or len(set(tags)) != len(tags):
        raise ValueError(
            f"{path} is not the list of Clothing Co-Parsing's tags"
            + (f": it holds {', '.join(map(repr, strange[:5]))}" if strange else "")
        )
    return tags


def read_tag_map(path: Path, tags: Sequence[str], size: tuple[int, int]) -> np.ndarray:
    """Read a pixel-level annotation as tag ids, int64 [H, W].

    Args:
        path: path of the ``.mat`` file.
        tags: tags by id.
        size: (height, width) that it must have.

    Raises:
        ValueError: for a damaged file, another size, or an id that is not a tag.
    """
    values = read_numbers(path, "groundtruth", size)
    if not np.isfinite(values).all() or (values != np.floor(values)).any():
        raise ValueError(
            f"the MATLAB file {path.name!r} holds {values.dtype} values that are not whole numbers"
        )
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= len(tags):
        raise ValueError(
            f"the MATLAB file {path.name!r} holds the tag id {low if low < 0 else high}; the ids are 0 to "
            f"{len(tags) - 1}"
        )
    return values.astype(np.int64)


def merge_tags(raw: np.ndarray, tags: Sequence[str], labels: LabelSet = PEOPLE) -> np.ndarray:
    """Merge tag ids to class ids, int64 [H, W].

    The table is :data:`groupdnet_hub.prepare.labels.CCP`, with these exceptions:

    - a ``dress`` is a skirt (of the 8 classes, bottom-clothes) where there is another top garment and the dress begins
      below a third of the body height: there the annotators used the tag for a skirt;
    - a ``suit`` that runs down to the feet, with no other trousers or skirt, is cut at half the body height;
    - a large piece of ``accessories`` that borders mostly on background, such as an umbrella, is background; all other
      accessories and jewellery become the nearest body or garment class;
    - labelled specks become background;
    - ``skin`` is face where :func:`groupdnet_hub.prepare.people.find_face` says so.

    Bags have no effect on the height of the body.

    Args:
        raw: tag ids [H, W].
        tags: tags by id.
        labels: :data:`groupdnet_hub.data.people.PEOPLE` or :data:`groupdnet_hub.data.people.PEOPLE16`.

    Raises:
        ValueError: if nothing is labelled.
    """
    ids = merge(raw, tags, rules_for(labels, CCP), labels)
    present = {tags[i] for i in np.unique(raw)}
    # Before measuring, because a stray speck would stretch the body.
    decided = remove_specks(without_bags(np.where(ids == UNDECIDED, BACKGROUND, ids), labels))
    top, height = body_rows(decided)

    def pixels_of(tag: str) -> np.ndarray:
        return (raw == tags.index(tag)) & (decided != BACKGROUND)

    row = np.arange(ids.shape[0])[:, None]
    if "dress" in present and present & _UPPER - {"dress", "scarf"}:
        dress = pixels_of("dress")
        rows = np.nonzero(dress)[0]
        if len(rows) and np.percentile(rows, _STRAY[len(labels)]) > top + 0.33 * height:
            ids[dress] = id_in(labels, "skirt")
    if (
        "suit" in present
        and not np.isin(decided, [id_in(labels, name) for name in ("skirt", "trousers")]).any()
    ):
        suit = pixels_of("suit")
        last = np.flatnonzero(suit.any(axis=1))[-1:]
        if len(last) and last[0] > top + 0.85 * height:
            ids[suit & (row > top + 0.5 * height)] = id_in(labels, "trousers")
    if "accessories" in present:
        ids[_loose_pieces(raw == tags.index("accessories"), decided, height)] = BACKGROUND
    ids = remove_specks(fill_nearest(ids, labels))
    ids[find_face(ids, labels)] = labels.id_of("face")
    return ids


def _loose_pieces(accessories: np.ndarray, decided: np.ndarray, height: int) -> np.ndarray:
    """Return the pieces above 0.2 % of the squared body height whose rim is more than 55 % background."""
    pieces, count = ndimage.label(accessories)
    loose = np.zeros(accessories.shape, dtype=bool)
    for number in range(1, count + 1):
        piece = pieces == number
        rim = ndimage.binary_dilation(piece, iterations=2) & ~piece
        if piece.sum() > 0.002 * height**2 and (decided[rim] == BACKGROUND).mean() > 0.55:
            loose |= piece
    return loose
