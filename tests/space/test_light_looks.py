"""Looks in sessions: a byte for each pixel of their label maps, and int64 for whoever asks."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from page.core import session as sessions
from page.core.memory.light_looks import LightLook, light
from page.core.memory.packed_looks import packed
from page.core.memory.work_bytes import work_bytes
from page.core.session import Session
from PIL import Image

from groupdnet_hub import AppearanceCodes, Look
from tests.helpers.hub_models import LABELS


def look_of(mask: np.ndarray, instance: np.ndarray | None = None) -> Look:
    height, width = mask.shape
    codes = AppearanceCodes(torch.zeros(len(LABELS), 2, 1, 1), LABELS)
    return Look(Image.new("RGB", (width, height)), codes, mask, 7, instance)


@pytest.mark.parametrize(("most", "size"), [(2, 1), (255, 1), (256, 2), (65_535, 2), (65_536, 4), (2**40, 8)])
def test_ids_take_as_few_bytes_as_hold_them(most: int, size: int) -> None:
    mask = np.array([[0, 1], [most, 1]], np.int64)
    kept = light(look_of(mask))
    assert kept.map_bytes == size * mask.size
    assert kept.mask.dtype == np.int64
    assert np.array_equal(kept.mask, mask)


def test_instances_too() -> None:
    instance = np.array([[1000, 1], [0, 3]], np.int64)
    kept = light(look_of(np.zeros((2, 2), np.int64), instance))
    assert kept.instance is not None
    assert kept.instance.dtype == np.int64
    assert np.array_equal(kept.instance, instance)
    assert kept.map_bytes == 4 + 2 * 4
    assert light(look_of(instance)).instance is None


def test_it_is_a_look_as_any(tmp_path_factory: pytest.TempPathFactory) -> None:
    mask = np.array([[0, 1], [2, 1]], np.int64)
    look = look_of(mask)
    kept = light(look)
    assert kept is light(look) is light(kept)
    assert kept.classes == look.classes
    written = Look.from_bytes(kept.to_bytes())
    assert np.array_equal(written.mask, mask)
    assert written.mask.dtype == np.int64
    assert torch.equal(written.codes.tensor, look.codes.tensor)
    assert packed(kept) is packed(look)
    for copy in (pickle.loads(pickle.dumps(kept)), replace(kept, seed=8)):
        assert type(copy) is LightLook
        assert np.array_equal(copy.mask, mask)
    # What is given away is the caller's own.
    kept.mask[:] = 1
    assert np.array_equal(kept.mask, mask)


def test_a_session_holds_no_map_of_eight_bytes_a_pixel() -> None:
    look, other = (look_of(np.full((64, 64), class_id, np.int64)) for class_id in (0, 1))
    session = sessions.show(Session(look=look), other)
    assert isinstance(session.look, LightLook)
    held = work_bytes(session)
    assert held is not None
    kept = sum(len(part) for part in (session.earlier[0].archive, session.earlier[0].thumbnail))
    assert held < 64 * 64 * (3 + 1) + other.codes.tensor.nbytes + kept + 500
    back = sessions.undo(session)
    assert isinstance(back.look, LightLook)
    assert np.array_equal(back.look.mask, look.mask)
    drawn = replace(session, candidates=(look, other))
    assert all(isinstance(one, LightLook) for one in drawn.candidates)
    assert drawn.candidates[1] is session.look
