"""The script of the README's picture, with models of other classes and proportions than the bundled one."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_models import MORE_LABELS, page_model, save_examples
from PIL import Image

from groupdnet_hub import FIGURE_LABELS, GroupDNetPipeline, LabelSet

SCRIPT = Path(__file__).resolve().parents[1] / "docs" / "make_picture.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


@pytest.mark.parametrize(
    ("labels", "size", "cell"),
    [(FIGURE_LABELS, (64, 64), (232, 232)), (MORE_LABELS, (64, 32), (348, 174))],
    ids=["square", "upright"],
)
def test_every_cell_is_drawn_in_the_proportions_of_the_model(
    script: dict[str, Any], tmp_path: Path, labels: LabelSet, size: tuple[int, int], cell: tuple[int, int]
) -> None:
    page_model(labels, size).save_pretrained(tmp_path / "model")
    maps = save_examples(tmp_path / "maps", labels, size)
    flags = ["--model", str(tmp_path / "model"), "--examples", str(tmp_path / "maps")]
    flags += ["--output", str(tmp_path / "picture.png")]
    script["main"](flags)
    drawn = np.asarray(Image.open(tmp_path / "picture.png").convert("RGB"))
    height, width = cell
    assert drawn.shape == (3 * (height + 26 + 4), 6 * (width + 4) - 4, 3)
    pipe = GroupDNetPipeline.from_pretrained(tmp_path / "model")
    sample = pipe.sample(maps[5], seed=48).image.resize((width, height), Image.Resampling.BICUBIC)
    shown = drawn[26 : 26 + height, width + 4 : 2 * width + 4].astype(int)
    assert np.abs(shown - np.asarray(sample)).max() <= 2  # loaded anew, and perhaps rounded elsewhere
    classes = [name for name in labels.names if name != "shoes"][1:4]
    script["main"]([*flags, "--classes", *classes])
    named = np.asarray(Image.open(tmp_path / "picture.png").convert("RGB"))
    assert named.shape == drawn.shape
    assert (named != drawn).any()


def test_an_unknown_class_is_named(
    script: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page_model(size=(64, 64)).save_pretrained(tmp_path / "model")
    with pytest.raises(SystemExit):
        script["main"](["--model", str(tmp_path / "model"), "--classes", "hair", "shoos", "face"])
    assert "did you mean 'shoes'" in capsys.readouterr().err
