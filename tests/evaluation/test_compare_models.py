"""compare_models.py: sheets of models side by side, and one table of their metrics."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub.io import downloads
from train import compare_models

HEIGHT, GAP, HEADER, COLUMNS = 32, 8, 16, 3


def arguments(inputs: Path, output: Path, *further: str) -> list[str]:
    return [
        *("--models", f"first={inputs / 'model'}", f"second={inputs / 'other'}"),
        *("--data_dir", str(inputs / "data"), "--output_dir", str(output)),
        *("--sheet_maps", "2", "--sheet_columns", str(COLUMNS), "--sheet_height", str(HEIGHT), *further),
    ]


def cells(sheet: Image.Image, row: int, model: int) -> np.ndarray:
    """The pictures of a model in a row, [COLUMNS, H, W, 3]."""
    left = HEIGHT + GAP + model * (COLUMNS * HEIGHT + GAP)
    top = HEADER + row * (HEIGHT + HEADER)
    block = np.asarray(sheet)[top : top + HEIGHT, left : left + COLUMNS * HEIGHT]
    return block.reshape(HEIGHT, COLUMNS, HEIGHT, 3).swapaxes(0, 1)


def test_models_stand_side_by_side(inputs: Path, tmp_path: Path) -> None:
    compare_models.main(arguments(inputs, tmp_path, "--sheets_only"))
    files = sorted((tmp_path / "sheets").iterdir())
    assert len(files) == 2
    sheet = Image.open(files[0])
    first, second = cells(sheet, 0, 0), cells(sheet, 0, 1)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first, second)
    again = tmp_path / "again"
    compare_models.main(arguments(inputs, again, "--sheets_only"))
    assert files[0].read_bytes() == (again / "sheets" / files[0].name).read_bytes()


def test_weights_out_of_reach_are_told_before_sheets_are_drawn(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(downloads, "unreachable", lambda _: "Name or service not known")
    with pytest.raises(ValueError, match=r"cannot be downloaded .* with --frechet_weights"):
        compare_models.main(arguments(inputs, tmp_path / "out", "--metrics", "frechet"))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_tables_have_a_row_or_a_column_for_each_model(inputs: Path, tmp_path: Path) -> None:
    flags = ["--metrics", "mcsd", "params", "sharpness", "--num_samples", "2", "--num_pairs", "1"]
    flags += ["--alexnet_weights", str(inputs / "alexnet.safetensors")]
    compare_models.main(arguments(inputs, tmp_path, *flags))
    table, measures = (tmp_path / "comparison.md").read_text(encoding="utf-8").split("\n\n")
    lines = table.splitlines()
    assert [line.split(" | ")[0] for line in lines] == ["| Model", "| ---", "| first", "| second"]
    found = [json.loads((tmp_path / f"{name}.json").read_text())["parts"] for name in ("first", "second")]
    values = [parts["classes"]["result"]["image_mean"]["mcsd"]["value"] for parts in found]
    assert values[0] != values[1]
    assert all(f"{value:.4f}" in line for value, line in zip(values, lines[2:], strict=True))
    ratios = [parts["sharpness"]["result"]["ratio"]["value"] for parts in found]
    head, _, row = measures.splitlines()
    assert head == "| Measure | Photos | first | second |"
    assert [cell.split(" ")[0] for cell in row.split(" | ")[2:]] == [f"{ratio:.2f}" for ratio in ratios]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--models", "a=x", "a=y"], "a=y needs a name of its own"),
        (["--sheet_columns", "0"], "sheet_columns"),
        (["--output", "x.json"], "--output: this script sets that for each model"),
    ],
)
def test_wrong_flags(
    inputs: Path, tmp_path: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        compare_models.main([*arguments(inputs, tmp_path), *flags])
    assert message in capsys.readouterr().err
