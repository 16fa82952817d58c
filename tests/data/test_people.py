"""The two label sets of people: the sixteen classes serve the eight, whatever order the names stand in."""

from __future__ import annotations

import numpy as np
import pytest

from groupdnet_hub import LabelSet
from groupdnet_hub.data.people import PEOPLE, PEOPLE16, merge_people16, merged_ids
from groupdnet_hub.metrics import LabelTable


def test_sixteen_classes_become_what_label_maps_are_merged_to() -> None:
    assert merged_ids(PEOPLE16.names, PEOPLE) == merge_people16(np.arange(16)).tolist()


def test_names_count_and_not_their_order() -> None:
    """Of what is merged, and of what it is merged to; colours do not matter."""
    order = np.random.default_rng(0).permutation(16)
    names = [PEOPLE16.names[i] for i in order]
    expected = merge_people16(order)
    assert merged_ids(names, PEOPLE) == expected.tolist()
    turned = LabelSet.from_names(["background", *PEOPLE.names[:0:-1]])
    found = merged_ids(names, turned)
    assert found is not None
    assert [turned.names[i] for i in found] == [PEOPLE.names[i] for i in expected]
    assert LabelTable.same_names(PEOPLE, names).targets == dict(zip(names, expected.tolist(), strict=True))


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (PEOPLE16.names, PEOPLE16),
        (PEOPLE.names, PEOPLE),
        (PEOPLE.names, PEOPLE16),
        (PEOPLE16.names[:-1], PEOPLE),
        ((*PEOPLE16.names, "shawl"), PEOPLE),
        ((*PEOPLE16.names[:-1], "hair"), PEOPLE),
        (PEOPLE16.names, LabelSet.from_names(PEOPLE.names[:-1])),
    ],
)
def test_other_classes_are_not_merged(names: tuple[str, ...], labels: LabelSet) -> None:
    assert merged_ids(names, labels) is None
