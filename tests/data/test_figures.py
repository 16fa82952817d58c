"""Drawn people: the same from the same seed, plausible, and written in the layout that training reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from groupdnet_hub import PairedImages
from groupdnet_hub.data.figure_drawing import draw_figure
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.figures import main, write_figures


def test_a_seed_fixes_the_figure() -> None:
    first, label = draw_figure(5, (128, 128))
    again, label_again = draw_figure(5, (128, 128))
    assert np.array_equal(first, again)
    assert np.array_equal(label, label_again)
    other, other_label = draw_figure(6, (128, 128))
    assert not np.array_equal(label, other_label)
    assert not np.array_equal(first, other)


def test_every_class_appears_as_often_as_in_people() -> None:
    fractions = np.zeros(8)
    for seed in range(40):
        _, label = draw_figure(seed, (128, 128))
        fractions += np.bincount(label.ravel(), minlength=8) / label.size / 40
    assert (fractions > 0).all()
    # Full-body photos: background 85 %, top-clothes 7 %, bottom-clothes 4 %, skin and hair 1 to 2 %.
    assert 0.75 < fractions[0] < 0.92
    assert 0.04 < fractions[4] < 0.13
    assert 0.02 < fractions[5] < 0.08
    assert fractions[1] < 0.03
    assert fractions[2] < 0.02


def test_the_upper_crop_shows_no_shoes() -> None:
    for seed in range(10):
        _, label = draw_figure(seed, (96, 64), crop="upper")
        assert label.shape == (96, 64)
        assert 7 not in label
        assert 2 in label


def test_a_class_looks_different_from_figure_to_figure() -> None:
    tops = []
    for seed in range(8):
        picture, label = draw_figure(seed, (96, 96))
        tops.append(np.asarray(picture)[label == 4].mean(axis=0))
    assert np.std(tops, axis=0).mean() > 20


def test_the_folder_is_read_by_training(tmp_path: Path) -> None:
    write_figures(tmp_path, 4, size=(64, 64), seed=1)
    data = PairedImages.from_folder(tmp_path, (64, 64))
    assert len(data) == 4
    assert data.labels == FIGURE_LABELS
    _, label = draw_figure(1 * 1_000_003 + 2, (64, 64))
    assert np.array_equal(data[2]["label"].numpy(), label)
    assert data[2]["image"].shape == (3, 64, 64)


def test_an_existing_split_is_never_overwritten(tmp_path: Path) -> None:
    write_figures(tmp_path, 1, size=(32, 32))
    before = (tmp_path / "train" / "metadata.jsonl").read_text()
    with pytest.raises(ValueError, match="exists already"):
        write_figures(tmp_path, 2, size=(32, 32))
    assert (tmp_path / "train" / "metadata.jsonl").read_text() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["classes.json", "train"]


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(tmp_path), "--count", "2", "--size", "32", "--split", "validation"])
    lines = (tmp_path / "validation" / "metadata.jsonl").read_text().splitlines()
    assert [json.loads(line)["file_name"] for line in lines] == [
        "images/figure_00000.png",
        "images/figure_00001.png",
    ]
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path), "--count", "0", "--split", "other"])
    assert "count is 0" in capsys.readouterr().err
