"""Whatever a label map is stored in, it is read as it was, or refused: never as another map.

``LABEL_MAP_EXAMPLES=20000 pytest tests/data/test_label_map_property.py`` tries more examples than the default.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from groupdnet_hub.data.label_maps import read_partial_label_map
from groupdnet_hub.data.labels import LabelSet
from tests.helpers.label_carriers import (
    IN_8_BITS,
    IN_COLOURS,
    IN_FOREIGN_COLOURS,
    IN_GREYS,
    IN_IDS,
    INDEXED,
    Example,
    foreign_palette,
)

EXAMPLES = int(os.environ.get("LABEL_MAP_EXAMPLES", "400"))
CARRIERS = {**IN_COLOURS, **INDEXED, **IN_IDS, **IN_8_BITS, **IN_GREYS, **IN_FOREIGN_COLOURS}


def palette_of(kind: str, count: int, random: np.random.Generator) -> list[tuple[int, int, int]]:
    """Distinct colours: numbered as ours, any, greys, or shades that are nearer to each other than the tolerance."""
    if kind == "numbered":
        return list(LabelSet.from_names([str(i) for i in range(count)]).palette)
    if kind == "greys" and count < 256:
        return [(int(v),) * 3 for v in random.permutation(256)[:count]]  # type: ignore[misc]
    if kind == "shades":
        return [(i // 100, i % 10, i // 10 % 10) for i in range(count)]
    codes = random.permutation(np.unique(random.integers(0, 2**24, 2 * count)))[:count]
    return [(int(code >> 16), int(code >> 8 & 255), int(code & 255)) for code in codes]


def example_of(kind: str, count: int, ignores: bool, random: np.random.Generator) -> Example:
    palette = palette_of(kind, count, random)
    ignore: tuple = ()
    if ignores:
        colour = next(c for c in ((255, 255, 255), (254, 1, 250), (253, 3, 251)) if c not in palette)
        ignore = (255 if count < 256 else 65535, colour)
    labels = LabelSet(tuple(f"class {i}" for i in range(count)), tuple(palette), ignore)
    height, width = (int(v) for v in random.integers(1, 13, 2))
    used = random.permutation(count)[: random.integers(1, min(count, 12) + 1)]
    unknown = (random.random((height, width)) < 0.2) & bool(ignores)
    unknown[random.integers(height), random.integers(width)] = False
    return Example(labels, used[random.integers(0, len(used), (height, width))], unknown, random)


def is_ambiguous(carrier: str, example: Example) -> bool:
    """Whether what is written can be meant otherwise: nobody can know."""
    colours = {*example.labels.palette, *example.labels.ignored_colours}
    values = np.unique(example.values)
    if carrier in IN_GREYS:  # ids that are all, as greys, colours of classes
        return all((int(value),) * 3 in colours for value in values)
    if carrier in IN_FOREIGN_COLOURS:  # colours that are by chance near those of classes
        palette = foreign_palette(example)[values].astype(int)
        near = [min(max(abs(v - w) for v, w in zip(c, one, strict=True)) for one in colours) for c in palette]
        return max(near) <= 8
    return False


@given(
    carrier=st.sampled_from(sorted(CARRIERS)),
    kind=st.sampled_from(["numbered", "any", "greys", "shades"]),
    count=st.integers(1, 300),
    ignores=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES < 1000)
def test_a_map_is_read_as_it_was_written_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    carrier: str,
    kind: str,
    count: int,
    ignores: bool,
    seed: int,
) -> None:
    example = example_of(kind, count, ignores, np.random.default_rng(seed))
    assume(example.fits_8_bits or carrier in IN_COLOURS or carrier in INDEXED or carrier in IN_IDS)
    # Each look draws the same palette.
    state = example.random.bit_generator.state
    assume(not is_ambiguous(carrier, example))
    example.random.bit_generator.state = state
    source = CARRIERS[carrier](example, shared_folder_of(tmp_path_factory))
    try:
        ids, unknown = read_partial_label_map(source, example.labels)
    except ValueError:
        # Our own forms are never refused.
        assert carrier not in {*IN_COLOURS, *IN_IDS}
        return
    assert np.array_equal(unknown, example.unknown)
    assert np.array_equal(ids[~unknown], example.ids[~unknown])


def shared_folder_of(factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples: each overwrites the file of the one before."""
    folder = factory.getbasetemp() / "label-maps"
    folder.mkdir(exist_ok=True)
    return folder
