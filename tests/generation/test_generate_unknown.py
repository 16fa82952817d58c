"""Label maps with unknown pixels as the input of generate.py, and photos of a gallery that have some."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub import GroupDNetPipeline, LabelSet
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.label_maps import read_label_map
from groupdnet_hub.data.unknown import fill_unknown
from tests.helpers.generate_runs import contents, flags, lines_of
from tests.helpers.partial_maps import write_partial_figures
from tests.helpers.processes import reset_accelerate
from train import generate

MAPS = 3


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    write_partial_figures(tmp_path / "maps", MAPS, split="train", size=32)
    return tmp_path / "maps" / "train"


def expected(path: Path) -> np.ndarray:
    ids = np.asarray(Image.open(path)).astype(np.int64)
    return fill_unknown(np.where(ids == 255, -1, ids), FIGURE_LABELS)[0]


@pytest.mark.parametrize("paired", [True, False])
def test_unknown_pixels_are_drawn_and_written_as_the_nearest_class(
    inputs: Path, maps: Path, tmp_path: Path, paired: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = maps if paired else maps / "labels"
    more = ("--label_dir", str(folder), "--batch_size", "1", "--ignore_id", "255")
    generate.main(flags(inputs, tmp_path / "out", *more))
    assert (
        "2 of 3 label maps have unknown pixels (16.7 % of all pixels): they are drawn as the nearest class, also in "
        "the written maps"
    ) in " ".join(capsys.readouterr().out.split())
    written = LabelSet.from_file(tmp_path / "out" / "classes.json")
    assert written == FIGURE_LABELS, "no written map has an unknown pixel"
    pipeline = GroupDNetPipeline.from_pretrained(inputs / "model")
    split = tmp_path / "out" / "train"
    for line, path in zip(lines_of(split), sorted((maps / "labels").iterdir()), strict=True):
        ids = read_label_map(split / line["label_file_name"], written)
        assert np.array_equal(ids, expected(path))
        look = pipeline.sample(ids, seed=line["seed"])
        assert np.array_equal(np.asarray(look.image), np.asarray(Image.open(split / line["file_name"])))


def test_without_the_flag_they_are_refused(inputs: Path, maps: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"figure_00001\.png: .*255 is not a class id"):
        generate.main(flags(inputs, tmp_path / "out", "--label_dir", str(maps)))


def test_classes_json_says_what_is_unknown(inputs: Path, maps: Path, tmp_path: Path) -> None:
    LabelSet(FIGURE_LABELS.names, FIGURE_LABELS.palette, (255,)).to_file(maps.parent / "classes.json")
    generate.main(flags(inputs, tmp_path / "out", "--label_dir", str(maps)))
    assert LabelSet.from_file(tmp_path / "out" / "classes.json") == FIGURE_LABELS
    reset_accelerate()
    with pytest.raises(ValueError, match=r"ignores 255, and generated label maps have no unknown pixels"):
        generate.main(
            flags(
                inputs, maps.parent, "--split", "drawn", "--label_dir", str(maps)
            )  # whose classes.json says that 255 is unknown
        )


@pytest.mark.parametrize("value", ["x", "#12", "65536"])
def test_a_wrong_value_is_refused(
    inputs: Path, tmp_path: Path, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        generate.main(flags(inputs, tmp_path / "out", "--ignore_id", value))
    assert "--ignore_id takes ids" in capsys.readouterr().err


def test_what_the_photos_of_a_gallery_show_at_unknown_pixels_is_in_no_code(
    inputs: Path, tmp_path: Path
) -> None:
    """Galleries that differ there alone give the same pictures; without the flag no such gallery is read."""
    found = []
    for scramble in (1, 2):
        gallery = tmp_path / f"gallery_{scramble}"
        write_partial_figures(gallery, 3, split="train", size=32, scramble=scramble)
        more = ("--gallery_dir", str(gallery / "train"), "--ignore_id", "255", "--save_codes")
        reset_accelerate()
        generate.main(flags(inputs, tmp_path / f"out_{scramble}", *more))
        found.append(contents(tmp_path / f"out_{scramble}" / "train"))
    assert found[0].keys() == found[1].keys()
    assert [name for name in found[0] if found[0][name] != found[1][name]] == ["generate.json"]
    shutil.rmtree(tmp_path / "out_1")
    reset_accelerate()
    with pytest.raises(ValueError, match="255 is not a class id"):
        generate.main(flags(inputs, tmp_path / "out_1", *more[:2]))
