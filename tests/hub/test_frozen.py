"""What earlier versions saved stays loadable, and does what it did: folders frozen by ``fixtures/freeze.py``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from groupdnet_hub import GroupDNet, GroupDNetPipeline, Look, load_system
from tests.helpers.shared_data import ROOT

FROZEN = sorted((ROOT / "tests" / "fixtures").glob("format_*"))


@pytest.mark.parametrize("folder", FROZEN, ids=lambda folder: folder.name)
@torch.no_grad()
def test_a_frozen_model_draws_its_recorded_picture(folder: Path) -> None:
    model = GroupDNet.from_pretrained(folder / "model")
    recorded = load_file(folder / "recorded.safetensors")
    picture = model.decode(recorded["codes"], recorded["label"])
    torch.testing.assert_close(picture, recorded["picture"], atol=1e-4, rtol=0)
    assert recorded["picture"].std() > 0.1  # no grey square that any weights draw
    posterior = model.encode(recorded["picture"], recorded["label"])
    torch.testing.assert_close(posterior.mean, recorded["mean"], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(posterior.logvar, recorded["logvar"], atol=1e-3, rtol=1e-3)
    assert type(load_system(folder / "model")) is GroupDNet


@pytest.mark.parametrize("folder", FROZEN, ids=lambda folder: folder.name)
def test_a_frozen_look_is_drawn_again_from_its_codes(folder: Path, tmp_path: Path) -> None:
    look = Look.load(folder / "look")
    pipe = GroupDNetPipeline.from_pretrained(folder / "model")
    same = pipe.edit(look, look.mask)
    difference = abs(torch.tensor(list(look.image.tobytes())) - torch.tensor(list(same.image.tobytes())))
    assert difference.max() <= 1
    assert look.seed == 7


def test_the_first_format_is_frozen() -> None:
    assert [folder.name for folder in FROZEN][:1] == ["format_1"]
    assert json.loads((FROZEN[0] / "model" / "config.json").read_text())["format_version"] == 1
    assert sum(path.stat().st_size for path in FROZEN[0].rglob("*") if path.is_file()) < 100_000
