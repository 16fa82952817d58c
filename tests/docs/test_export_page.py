"""The page on exported models: its lines are those of the bundled model's card, and they draw."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub import GroupDNetConfig
from groupdnet_hub.data.figure_drawing import draw_figure
from groupdnet_hub.hub.model_card import model_card
from tests.helpers.pages import ROOT, blocks

PAGE = ROOT / "docs" / "export.md"
CARDS = {"space/models/people16": ROOT / "space" / "models" / "people16" / "README.md", "space/model": PAGE}


@pytest.mark.parametrize(("folder", "page"), CARDS.items(), ids=CARDS)
def test_its_lines_are_those_that_a_card_has(folder: str, page: Path) -> None:
    """Which :mod:`tests.export.test_export_model` runs."""
    config = GroupDNetConfig.from_file(ROOT / folder / "config.json")
    card = model_card(config, 0, {}, folder)
    assert "onnxruntime" in blocks(page, "python")[-1]
    assert f"```python\n{blocks(page, 'python')[-1]}```" in card


@pytest.mark.slow
def test_its_lines_draw_a_picture(tmp_path: Path) -> None:
    """In a folder where ``space/`` lies, as it does in a clone."""
    pytest.importorskip("onnxscript", reason="needs groupdnet-hub[export]")
    (tmp_path / "space").symlink_to(ROOT / "space")
    Image.fromarray(draw_figure(0, (256, 256))[1]).save(tmp_path / "mask.png")
    name, *words = shlex.split(blocks(PAGE, "bash")[0])
    assert name == "groupdnet"
    subprocess.run([sys.executable, "-m", "groupdnet_hub", *words], cwd=tmp_path, check=True, timeout=600)
    lines = blocks(PAGE, "python")[0]
    subprocess.run([sys.executable, "-c", lines], cwd=tmp_path, check=True, timeout=300)
    picture = np.asarray(Image.open(tmp_path / "picture.png"))
    assert picture.shape == (256, 256, 3)
    assert picture.std() > 20
