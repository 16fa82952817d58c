"""parser_scores.py: what it prints of a parser of people in sixteen classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub.data.people import PEOPLE16
from groupdnet_hub.figures import main as draw_figures
from groupdnet_hub.metrics.segmentation import frequent_miou
from tests.helpers.command_lines import refusal
from tests.helpers.evaluate_runs import write_segmenter
from tests.helpers.unknown_maps import ignore_in, write_bordered

pytest.importorskip("transformers", reason="the parser needs transformers")
pytest.importorskip("scipy", reason="preparation needs scipy")

from train.tools import parser_scores


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_it_counts_the_photos_of_each_class_and_merges(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_figures([str(tmp_path / "drawn"), "--count", "12", "--size", "64"])
    # The drawn people's ids 0 to 7 are the first eight of the sixteen classes here.
    PEOPLE16.to_file(tmp_path / "drawn" / "classes.json")
    write_segmenter(tmp_path / "parser", PEOPLE16.names)
    flags = ["--parser", tmp_path / "parser", "--data_dir", tmp_path / "drawn", "--split", "train"]
    parser_scores.main([str(flag) for flag in (*flags, "--resolution", 64, 64)])
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("| drawn |"))
    name, photos, miou, _, frequent, merged, accuracy = cells(row)
    assert (name, photos) == ("drawn", "12")
    for figure in (miou.split()[0], frequent, merged, accuracy):
        assert 0 <= float(figure) <= 100
    counts = {cells(line)[0]: cells(line)[2] for line in lines if cells(line)[0] in PEOPLE16.names}
    assert counts["background"] == counts["hair"] == "12"
    assert counts["belt"] == "0"


@pytest.mark.parametrize("by_flag", [False, True])
def test_unknown_pixels_are_not_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], by_flag: bool
) -> None:
    write_bordered(tmp_path / "drawn", 3, (64, 64))
    for path in (tmp_path / "drawn").glob("*/labels/*.png"):
        ids = np.asarray(Image.open(path)).copy()
        ids[ids == PEOPLE16.id_of("hair")] = 255
        Image.fromarray(ids).save(path)
    PEOPLE16.to_file(tmp_path / "drawn" / "classes.json")
    if not by_flag:
        ignore_in(tmp_path / "drawn", 255)
    write_segmenter(tmp_path / "parser", PEOPLE16.names)
    flags = ["--parser", tmp_path / "parser", "--data_dir", tmp_path / "drawn", "--split", "train"]
    flags += ["--ignore_id", 255] if by_flag else []
    parser_scores.main([str(flag) for flag in (*flags, "--resolution", 64, 64)])
    lines = capsys.readouterr().out.splitlines()
    counts = {cells(line)[0]: cells(line)[2] for line in lines if cells(line)[0] in PEOPLE16.names}
    assert (counts["background"], counts["hair"]) == ("3", "0")
    assert cells(next(line for line in lines if line.startswith("| drawn |")))[5] != "-", (
        "merged all the same"
    )


def test_a_mean_leaves_out_classes_of_few_photos() -> None:
    import torch

    from groupdnet_hub.metrics import SegmentationMeter

    meter = SegmentationMeter(("street", "coat", "belt"))
    meter.update(0, torch.tensor([[0, 0, 1, 2]]), torch.tensor([[0, 0, 1, 1]]))
    scores = meter.result()
    assert frequent_miou(scores, {"street": 90, "coat": 10, "belt": 9}) == pytest.approx(0.75)
    assert frequent_miou(scores, {"street": 0, "coat": 0, "belt": 0}) is None


def test_wrong_sizes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "validation").mkdir()
    flags = ["--parser", "any", "--data_dir", str(tmp_path), "--resolution", "64", "32", "16"]
    assert "of 32 pixels or more, not 64 32 16" in refusal(parser_scores.main, flags)
