"""The script of the README's picture, with models of other classes and proportions than the bundled one."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub import GroupDNetPipeline, LabelSet
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.label_maps import read_label_map
from groupdnet_hub.data.people import PEOPLE16
from tests.helpers.page_models import MORE_LABELS, page_model, save_examples
from tests.helpers.shared_data import ROOT

SCRIPT = ROOT / "docs" / "make_picture.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


@pytest.mark.parametrize(
    ("labels", "size", "cell", "rows"),
    [(FIGURE_LABELS, (64, 64), (232, 232), 3), (MORE_LABELS, (64, 32), (348, 174), 4)],
    ids=["square", "upright"],
)
def test_every_cell_is_drawn_in_the_proportions_of_the_model(
    script: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    labels: LabelSet,
    size: tuple[int, int],
    cell: tuple[int, int],
    rows: int,
) -> None:
    """The row of edits is there for a model that has the classes; for another one, what is left out is told."""
    page_model(labels, size).save_pretrained(tmp_path / "model")
    maps = save_examples(tmp_path / "maps", labels, size)
    flags = ["--model", str(tmp_path / "model"), "--examples", str(tmp_path / "maps")]
    flags += ["--output", str(tmp_path / "picture.png")]
    script["main"](flags)
    drawn = np.asarray(Image.open(tmp_path / "picture.png").convert("RGB"))
    height, width = cell
    assert drawn.shape == (rows * (height + 26 + 4), 6 * (width + 4) - 4, 3)
    told = capsys.readouterr().err
    assert ('"glasses added" is left out: the model has no class glasses' in told) == (rows == 3)
    assert ('"skirt lengthened" is left out: the model has no class skirt' in told) == (rows == 3)
    pipe = GroupDNetPipeline.from_pretrained(tmp_path / "model")
    number, seed = script["CHOICES"]["model"].reroll
    sample = pipe.sample(maps[number - 1], seed=seed).image.resize((width, height), Image.Resampling.BICUBIC)
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
    save_examples(tmp_path / "maps")
    flags = ["--model", str(tmp_path / "model"), "--examples", str(tmp_path / "maps")]
    with pytest.raises(SystemExit):
        script["main"]([*flags, "--classes", "hair", "shoos", "face"])
    assert "did you mean 'shoes'" in capsys.readouterr().err


def test_maps_that_are_not_there_are_named(
    script: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page_model(size=(64, 64)).save_pretrained(tmp_path / "model")
    flags = ["--model", str(tmp_path / "model"), "--examples", str(tmp_path / "maps")]
    with pytest.raises(SystemExit):
        script["main"](flags)
    assert "maps has no label maps called example_01.png" in capsys.readouterr().err
    number, _ = script["CHOICES"]["model"].morph[0]
    save_examples(tmp_path / "maps")[number - 1].unlink()
    with pytest.raises(SystemExit):
        script["main"](flags)
    assert f"example_{number:02}.png, which is not there" in capsys.readouterr().err


def test_the_bundled_choices_can_be_drawn(script: dict[str, Any]) -> None:
    """Every map that is chosen by its number shows what its row is about."""
    folder = SCRIPT.parents[1] / "space" / "examples"
    maps = [read_label_map(path, PEOPLE16) for path in sorted(folder.glob("*.png"))]
    choices = script["CHOICES"]["people16"]

    def shows(number: int, name: str) -> bool:
        return bool((maps[number - 1] == PEOPLE16.id_of(name)).any())

    first, second, third = choices.classes
    assert all(shows(choices.reroll[0], name) for name in (first, second, third))
    base, gives_first, gives_second = (number for number, _ in choices.mix)
    assert shows(base, first)
    assert shows(gives_first, first)
    assert shows(base, second)
    assert shows(gives_second, second)
    for edit, (number, _) in zip(script["EDITS"], choices.edits, strict=True):
        assert (edit.apply(maps[number - 1], PEOPLE16) != maps[number - 1]).any()


# -- the edits -----------------------------------------------------------------------------------------------

OLD = {"coat opened": {"outerwear"}, "glasses added": {"face"}}
OLD["skirt lengthened"] = {"skin", "legwear", "background"}
NEW = {"coat opened": "top", "glasses added": "glasses", "skirt lengthened": "skirt"}


@pytest.mark.parametrize("size", [(128, 64), (512, 256)])
def test_edits_paint_their_class_over_what_they_may(
    script: dict[str, Any], tmp_path: Path, size: tuple[int, int]
) -> None:
    changed = dict.fromkeys(NEW, 0)
    for path in save_examples(tmp_path, MORE_LABELS, size):
        ids = read_label_map(path, MORE_LABELS)
        for edit in script["EDITS"]:
            edited = edit.apply(ids.copy(), MORE_LABELS)
            new = edited != ids
            if not new.any():
                continue
            changed[edit.name] += 1
            assert {MORE_LABELS.names[i] for i in np.unique(ids[new])} <= OLD[edit.name]
            assert {MORE_LABELS.names[i] for i in np.unique(edited[new])} == {NEW[edit.name]}
            WHERE[edit.name](ids, new)
    assert min(changed.values()) >= 2, changed


def in_the_middle(ids: np.ndarray, new: np.ndarray) -> None:
    """Coat is left on both sides of the opening, which lies below the face."""
    coat, face = (ids == MORE_LABELS.id_of("outerwear")) & ~new, ids == MORE_LABELS.id_of("face")
    left, right = np.flatnonzero(new.any(axis=0))[[0, -1]]
    assert coat[:, :left].any()
    assert coat[:, right + 1 :].any()
    assert left <= np.flatnonzero(face.any(axis=0)).mean() <= right


def at_the_eyes(ids: np.ndarray, new: np.ndarray) -> None:
    """As wide as most of the face, in its upper half, and face is left above and below."""
    rows, columns = np.nonzero(ids == MORE_LABELS.id_of("face"))
    eyes, across = np.nonzero(new)
    assert rows.min() < eyes.min()
    assert eyes.mean() < rows.mean()
    assert eyes.max() < rows.max()
    assert np.ptp(across) > 0.6 * np.ptp(columns)


def below_the_hem(ids: np.ndarray, new: np.ndarray) -> None:
    """Under a column of the skirt, and none of them longer than the skirt is."""
    skirt = ids == MORE_LABELS.id_of("skirt")
    assert (np.cumsum(skirt, axis=0) > 0)[new].all()
    assert new.sum(axis=0).max() <= np.ptp(np.nonzero(skirt)[0]) + 1


WHERE = {"coat opened": in_the_middle, "glasses added": at_the_eyes, "skirt lengthened": below_the_hem}


def test_an_edit_changes_no_map_that_does_not_show_what_it_takes(script: dict[str, Any]) -> None:
    for edit in script["EDITS"]:
        ids = np.full((32, 16), MORE_LABELS.id_of("trousers"))
        assert np.array_equal(edit.apply(ids, MORE_LABELS), ids)


# -- the sheets to choose from -------------------------------------------------------------------------------


def test_sheets_have_a_row_for_each_map_and_a_column_for_each_seed(tmp_path: Path) -> None:
    main = runpy.run_path(str(SCRIPT.with_name("choose_looks.py")))["main"]
    page_model(size=(64, 64)).save_pretrained(tmp_path / "model")
    maps = save_examples(tmp_path / "maps", size=(64, 64))
    flags = ["--model", str(tmp_path / "model"), "--examples", str(tmp_path / "maps")]
    main([*flags, "--seeds", "5", "7", "--output", str(tmp_path / "sheets")])
    assert [path.name for path in sorted((tmp_path / "sheets").iterdir())] == ["sheet_01.png", "sheet_02.png"]
    sheet = np.asarray(Image.open(tmp_path / "sheets" / "sheet_02.png")).astype(int)
    assert sheet.shape == (14 + 6 * 66, 2 * 66, 3)
    pipe = GroupDNetPipeline.from_pretrained(tmp_path / "model")
    expected = np.asarray(pipe.sample(maps[7], seed=6).image).astype(int)
    assert np.abs(sheet[14 + 66 : 14 + 66 + 64, 66 : 66 + 64] - expected).max() <= 2
    with pytest.raises(SystemExit):
        main([*flags, "--seeds", "7", "7", "--output", str(tmp_path / "sheets")])
