"""Appearance codes: pick, mix, interpolate, save and load."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from groupdnet_hub import AppearanceCodes, LabelSet

LABELS = LabelSet.from_names(("sky", "house", "road"))


def codes(seed: int, labels: LabelSet = LABELS) -> AppearanceCodes:
    noise = torch.randn(len(labels), 8, 4, 4, generator=torch.Generator().manual_seed(seed))
    return AppearanceCodes(noise, labels)


def test_mix_takes_the_named_classes_only() -> None:
    a, b, c = codes(0), codes(1), codes(2)
    mixed = a.mix({"house": b, 2: c})
    assert torch.equal(mixed.pick("sky"), a.pick("sky"))
    assert torch.equal(mixed.pick("house"), b.pick("house"))
    assert torch.equal(mixed.pick("road"), c.pick("road"))


def test_interpolate_ends_exactly_and_extrapolates() -> None:
    a, b = codes(0), codes(1)
    assert torch.equal(a.interpolate(b, 0).tensor, a.tensor)
    assert torch.equal(a.interpolate(b, 1).tensor, b.tensor)
    torch.testing.assert_close(a.interpolate(b, 1.5).tensor, 1.5 * b.tensor - 0.5 * a.tensor)


def test_interpolate_some_classes() -> None:
    a, b = codes(0), codes(1)
    half = a.interpolate(b, 0.5, classes=["house"])
    torch.testing.assert_close(half.pick("house"), (a.pick("house") + b.pick("house")) / 2)
    assert torch.equal(half.pick("sky"), a.pick("sky"))


def test_save_and_load_bit_for_bit(tmp_path: Path) -> None:
    codes(3).save(tmp_path / "codes.safetensors")
    loaded = AppearanceCodes.load(tmp_path / "codes.safetensors")
    assert torch.equal(loaded.tensor, codes(3).tensor)
    assert loaded.labels == LABELS
    assert [p.name for p in tmp_path.iterdir()] == ["codes.safetensors"]


def test_unknown_class_names_what_is_allowed() -> None:
    with pytest.raises(ValueError, match=r"hose.*house"):
        codes(0).pick("hose")


def test_codes_of_another_label_set_are_refused() -> None:
    other = codes(0, LabelSet.from_names(("sky", "house", "sea")))
    with pytest.raises(ValueError, match=r"different label sets.*sea"):
        codes(0).mix({"sky": other})


def test_codes_of_another_size_are_refused() -> None:
    other = AppearanceCodes(torch.zeros(3, 8, 4, 8), LABELS)
    with pytest.raises(ValueError, match="different shapes"):
        codes(0).interpolate(other, 0.5)


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        AppearanceCodes(torch.full((3, 8, 4, 4), float("nan")), LABELS)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "codes.safetensors"
    codes(0).save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"codes\.safetensors is damaged"):
        AppearanceCodes.load(path)
    path.write_text("hello")
    with pytest.raises(ValueError, match=r"codes\.safetensors is damaged"):
        AppearanceCodes.load(path)
    with pytest.raises(ValueError, match="no codes file"):
        AppearanceCodes.load(tmp_path / "absent.safetensors")
