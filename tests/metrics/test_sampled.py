"""Sharpness, fixed pattern, faces and memory on pictures that are made to have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from groupdnet_hub import PairedImages
from groupdnet_hub.metrics import (
    FaceMesh,
    LpipsEmbedding,
    NearestPhotos,
    alexnet_lpips,
    eight_bit,
    measure_faces,
    measure_pattern,
    measure_sharpness,
    summarise_faces,
    summarise_memory,
    summarise_pattern,
    summarise_sharpness,
)
from groupdnet_hub.metrics.faces import cut_window, head_window
from groupdnet_hub.metrics.sharpness import inner_region, roughness
from tests.helpers.drawn_people import BACKGROUND, FACE, SIDE, TOP, figure, painted
from tests.helpers.shared_data import shared_folder


def noise(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)


def blurred(pictures: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(pictures.float(), 3, stride=1, padding=1).round().to(torch.uint8)


def test_roughness_is_the_laplacian_of_the_luminance() -> None:
    picture = torch.zeros(1, 3, 5, 5, dtype=torch.uint8)
    picture[0, 1, 2, 2] = 100  # green weighs 0.587
    found = roughness(picture)[0]
    assert found[2, 2] == pytest.approx(4 * 58.7, rel=1e-5)
    assert found[1, 2] == found[2, 3] == pytest.approx(58.7, rel=1e-5)
    assert found[1, 1] == found[0, 0] == 0
    flat = torch.full((1, 3, 4, 4), 77, dtype=torch.uint8)
    assert roughness(flat).abs().max() < 1e-3  # the edge is not a step


def test_borders_of_a_region_and_between_its_classes_are_left_out() -> None:
    label = torch.zeros(8, 12, dtype=torch.int64)
    label[:, 2:6], label[:, 6:10] = 1, 2
    inside = inner_region(label, [1, 2], 1)
    assert inside.any(dim=0).nonzero().flatten().tolist() == [3, 4, 7, 8]
    assert inside[0, 3]  # the picture's own edge is none


def sharpness_of(pictures: torch.Tensor, photos: torch.Tensor) -> float:
    rows = [measure_sharpness(pictures, photo, figure(), [TOP]) for photo in photos]
    return summarise_sharpness(np.stack(rows)).ratio.value


def test_photos_are_as_sharp_as_photos_and_blurred_ones_less() -> None:
    photo = noise(1, seed=0)
    assert sharpness_of(photo, photo) == pytest.approx(1)
    assert sharpness_of(torch.cat([photo, photo]), photo) == pytest.approx(1)
    assert sharpness_of(blurred(photo), photo) < 0.5
    # What is outside of the garment is not looked at.
    elsewhere = torch.where(figure() == TOP, photo, blurred(photo))
    assert sharpness_of(elsewhere, photo) == pytest.approx(1)


def test_sharpness_weighs_label_maps_by_their_pixels_and_leaves_out_those_without() -> None:
    rows = np.array([[30.0, 10.0, 5.0], [10.0, 30.0, 15.0], [0.0, 0.0, 0.0]])
    found = summarise_sharpness(rows)
    assert found.images == 2
    assert found.ratio.value == pytest.approx(1)
    assert found.photos == pytest.approx(2)
    with pytest.raises(ValueError, match="name others"):
        summarise_sharpness(rows[2:])


def pattern_of(pictures: torch.Tensor, label: torch.Tensor | None = None):
    rows = measure_pattern(pictures, pictures[0], figure() if label is None else label, [TOP, FACE])
    return summarise_pattern(rows[None], ["top", "face"])


def test_a_pattern_at_one_place_of_every_picture_stands_out() -> None:
    label = figure().repeat_interleave(4, 0).repeat_interleave(4, 1)  # 256 pixels high
    generator = torch.Generator().manual_seed(0)
    plain = torch.randint(100, 120, (12, 3, 256, 256), generator=generator, dtype=torch.uint8)
    fixed, moving = plain.clone(), plain.clone()
    stripes = (torch.arange(12) % 2 * 60 + 90).to(torch.uint8)
    for number in range(12):
        fixed[number, :, 140:152, 100:112] = stripes
        top, left = 92 + 12 * number, 60 + 5 * number
        moving[number, :, top : top + 12, left : left + 12] = stripes
    even, one_place, anywhere = (pattern_of(one, label) for one in (plain, fixed, moving))
    assert even.pattern["top"].value == pytest.approx(1, abs=0.2)
    assert one_place.pattern["top"].value > 3
    assert anywhere.pattern["top"].value < 1.7
    # A single picture shows it either way.
    assert anywhere.single["top"].value > 3
    assert one_place.photos["top"].value > 3
    assert one_place.pattern["face"].value == even.pattern["face"].value


def test_a_class_without_room_for_a_window_has_no_pattern() -> None:
    label = figure()
    label[label == FACE] = BACKGROUND
    label[4:9, 24:29] = FACE  # of 64 rows; a window has 3, and 1 of the border on each side is left out
    found = pattern_of(noise(3, seed=0), label)
    assert found.images == {"top": 1, "face": 1}
    label[4, 24:29] = BACKGROUND
    found = pattern_of(noise(3, seed=0), label)
    assert found.images == {"top": 1, "face": 0}
    assert found.pattern["face"].value is None
    flat = torch.full((3, 3, SIDE, SIDE), 80, dtype=torch.uint8)
    assert pattern_of(flat).pattern["top"].value == pytest.approx(0, abs=1e-3)
    with pytest.raises(ValueError, match="top, face large enough"):
        pattern_of(noise(3, seed=0), torch.zeros_like(label))


def test_the_window_around_a_head_is_square_and_goes_beyond_the_edge() -> None:
    label = torch.zeros(100, 50, dtype=torch.int64)
    label[2:22, 10:26] = FACE
    window = head_window(label, [FACE, 9])
    assert window == (-4, 2, 32)  # 1.6 x 20 around (12, 18)
    picture = torch.arange(100, dtype=torch.uint8)[:, None].expand(1, 3, 100, 50)
    cut = cut_window(picture, window)
    assert cut.shape == (1, 3, 256, 256)
    assert cut[0, 0, :28].max() <= 1  # the edge's colour is repeated
    assert 25 <= int(cut[0, 0, -1, 0]) <= 28
    label[2:22, 24:26] = BACKGROUND
    assert head_window(label, [FACE]) is None  # 14 of 100 rows wide, however long
    assert head_window(torch.zeros_like(label), [FACE]) is None


def test_faces_are_counted_against_those_of_photos() -> None:
    """A finder that sees a face where a head is red."""

    def finder(pictures: torch.Tensor) -> list[bool]:
        middle = pictures[:, :, 128, 128].long()
        return (middle[:, 0] > middle[:, 1] + 50).tolist()

    red, grey = painted({FACE: (200, 20, 20)}), painted({FACE: (90, 90, 90)})
    rows = [
        measure_faces(torch.stack(pictures), photo, label, [FACE], finder)
        for pictures, photo, label in (
            ([red, grey], red, figure()),
            ([red, red], red, figure()),
            ([red, grey], grey, figure()),
            ([grey, grey], red, figure()),
            ([red, red], red, torch.zeros_like(figure())),  # no head
        )
    ]
    found = summarise_faces(np.stack(rows))
    assert found.images == 4
    assert found.pictures.value == pytest.approx(0.5)
    assert found.photos.value == pytest.approx(0.75)
    assert found.ratio.value == pytest.approx(0.5 / 0.75)
    with pytest.raises(ValueError, match="no head is large enough"):
        summarise_faces(np.stack(rows[4:]))


def test_the_face_mesh_finds_faces_or_says_how_it_is_installed() -> None:
    try:
        import mediapipe
    except ImportError:
        with pytest.raises(ImportError, match=r"pip install mediapipe==0\.10\.14"):
            FaceMesh()
        pytest.skip("finding faces needs mediapipe==0.10.14, which is not installed")
    if mediapipe.__version__ != "0.10.14":
        with pytest.raises(ImportError, match="is installed"):
            FaceMesh()
        pytest.skip("finding faces needs mediapipe==0.10.14, and another version is installed")
    mesh = FaceMesh()
    assert mesh(noise(2, seed=0)) == [False, False]
    folder = shared_folder("data") / "fashion8"
    data = PairedImages.from_folder(folder, (256, 256), split="validation")
    heads = data.labels.ids_of(("hair", "face"))
    names = [Path(pair[0]).stem for pair in data.pairs]
    upper = [data[number] for number, name in enumerate(names) if name.endswith("_upper")][:6]
    cuts = [cut_window(eight_bit(one["image"][None]), head_window(one["label"], heads)) for one in upper]
    assert sum(mesh(torch.cat(cuts))) >= 4


def pixels(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.float().flatten(1) / 255


def coarse(pictures: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(pictures.float(), 16).flatten(1)


def nearest(photos: torch.Tensor, candidates: int = 3) -> NearestPhotos:
    return NearestPhotos(
        coarse(photos),
        lambda numbers: photos[list(numbers)],
        describe=coarse,
        embed=pixels,
        candidates=candidates,
    )


def test_shuffled_training_photos_are_remembered_and_new_photos_are_not() -> None:
    training, new = noise(20, seed=0), noise(8, seed=1)
    search = nearest(training)
    shuffled = training[torch.randperm(20, generator=torch.Generator().manual_seed(2))[:8]]
    copied = np.stack([search.distances(shuffled), search.distances(new)], axis=1)
    assert summarise_memory(copied).ratio.value == pytest.approx(0, abs=1e-12)
    others = np.stack([search.distances(noise(8, seed=3)), search.distances(new)], axis=1)
    found = summarise_memory(others)
    assert found.ratio.value == pytest.approx(1, abs=0.1)
    assert found.images == 8
    assert found.photos.value > 0


def test_the_nearest_is_found_among_the_candidates() -> None:
    training = noise(12, seed=0)
    pictures = torch.cat([training[7:8] ^ 3, noise(1, seed=1)])
    exact = (pixels(pictures)[:, None] - pixels(training)).square().sum(dim=2).amin(dim=1)
    assert nearest(training, candidates=99).distances(pictures) == pytest.approx(exact.numpy(), rel=1e-5)
    assert nearest(training, candidates=1).distances(pictures)[0] == pytest.approx(float(exact[0]), rel=1e-5)
    with pytest.raises(ValueError, match="at least one of each"):
        nearest(training[:0])


def test_squared_distances_of_embeddings_are_lpips() -> None:
    weights = shared_folder("weights") / "alexnet_features.safetensors"
    pytest.importorskip("lpips")
    embedding, metric = LpipsEmbedding(weights), alexnet_lpips(weights)
    one, other = noise(2, seed=0), torch.stack([blurred(noise(1, seed=0))[0], noise(1, seed=1)[0]])
    with torch.inference_mode():
        expected = metric(*(pictures.float() / 127.5 - 1 for pictures in (one, other))).flatten()
        found = (embedding(one) - embedding(other)).square().sum(dim=1)
        described = (embedding.describe(one) - embedding.describe(other)).square().sum(dim=1)
    assert torch.allclose(found, expected, rtol=1e-4)
    assert (described < found).all()
    assert (described > 0.02 * found).all()
