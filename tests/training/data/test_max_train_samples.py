"""``--max_train_samples``: fewer pictures, the same ones for the same seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from groupdnet_hub import PairedImages, StreamedImages
from groupdnet_hub.training.config import parse_train_config
from groupdnet_hub.training.data import pictures
from groupdnet_hub.training.data.data_facts import data_facts
from groupdnet_hub.training.data.pictures import build_data, build_labels, given_pairs


def chosen(drawn: Path, *flags: str) -> list[Any]:
    settings = parse_train_config(["--train_data_dir", str(drawn), *flags])
    data = build_data(settings, build_labels(settings), (32, 32))
    assert isinstance(data, PairedImages)
    # What is checked before training is what is trained on.
    assert list(given_pairs(settings, data.labels)["train"]) == list(data.given)
    assert data_facts(settings, data)["items"] == len(data)
    return list(data.given)


def test_some_pictures_of_a_folder(drawn: Path) -> None:
    whole = chosen(drawn)
    some = chosen(drawn, "--max_train_samples", "3")
    assert len(whole) > 4
    assert len(some) == 3
    assert [pair for pair in whole if pair in some] == some  # in their order
    assert chosen(drawn, "--max_train_samples", "3") == some
    others = [chosen(drawn, "--max_train_samples", "3", "--seed", str(seed)) for seed in range(1, 5)]
    assert any(other != some for other in others)
    assert chosen(drawn, "--max_train_samples", str(len(whole))) == whole


def test_more_than_there_are(drawn: Path) -> None:
    count = len(chosen(drawn))
    with pytest.raises(ValueError, match=rf"--max_train_samples 1000: there are {count} training pictures"):
        chosen(drawn, "--max_train_samples", "1000")


def test_the_first_of_a_stream(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    paired = PairedImages.from_folder(drawn, (32, 32))
    rows = [{"image": str(picture), "label": str(label)} for picture, label, _ in paired.given]
    stream = datasets.Dataset.from_list(rows).to_iterable_dataset()
    monkeypatch.setattr(pictures, "_rows", lambda settings: stream)
    flags = ["--dataset_name", "user/data", "--streaming", "--classes", str(drawn / "classes.json")]
    settings = parse_train_config([*flags, "--max_train_steps", "1", "--max_train_samples", "2"])
    data = build_data(settings, build_labels(settings), (32, 32))
    assert isinstance(data, StreamedImages)
    assert sorted(row["image"] for row in data.rows) == sorted(row["image"] for row in rows[:2])
