"""The bundled model on real photos: a reroll stays in its class, and encode sees the photo."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import shared_folder

from groupdnet_hub import GroupDNet, PairedImages

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "space" / "model"


@pytest.fixture(scope="module")
def model() -> GroupDNet:
    return GroupDNet.from_pretrained(MODEL)


@pytest.fixture(scope="module")
def photos(model: GroupDNet) -> list[dict]:
    folder = shared_folder("data/fashion8")
    data = PairedImages.from_folder(folder, model.config.image_size, split="validation", labels=model.labels)
    return [data[i] for i in range(len(data))]


def test_it_is_small_and_says_where_it_comes_from(model: GroupDNet) -> None:
    assert (MODEL / "model.safetensors").stat().st_size <= 20_000_000
    assert model.config.image_size == (256, 256)
    card = (MODEL / "README.md").read_text()
    for fact in ("vgg16", "Clothing Co-Parsing", str(model.card_facts["steps"])):
        assert fact in card


def test_rerolling_top_clothes_stays_in_its_region(model: GroupDNet, photos: list[dict]) -> None:
    from appearance_report import reroll_locality

    found = reroll_locality(model, photos, "top-clothes")
    assert found["pictures"] == 150
    assert found["ratio"] >= 4


def test_encode_then_decode_is_nearer_than_a_sample(model: GroupDNet, photos: list[dict]) -> None:
    pytest.importorskip("lpips")
    from appearance_report import reconstruction_share

    from groupdnet_hub.metrics import alexnet_lpips

    distance = alexnet_lpips(shared_folder("weights") / "alexnet_features.safetensors")
    found = reconstruction_share(model, photos, distance)
    assert found["pictures"] == 150
    assert found["share"] >= 0.8
