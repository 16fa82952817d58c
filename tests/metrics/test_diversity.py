"""mCSD, mOCD and LPIPS diversity on systems whose values are computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from groupdnet_hub import GroupDNet, GroupDNetConfig
from groupdnet_hub.metrics import (
    ClassDiversityMeter,
    Estimate,
    ImageDiversityMeter,
    Redrawing,
    alexnet_lpips,
    measure_classes,
    measure_image,
)
from tests.helpers.shared_data import shared_folder
from tests.helpers.synthetic_systems import LABELS, ChangesEverything, RepaintsOneClass, difference

# Fractions of sky, house, road, tree: 1/2, 1/4, 1/4, 0 and 3/4, 0, 0, 1/4.
STREET = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2]])
FIELD = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [3, 3, 3, 3]])
NAMES = LABELS.names


def meters(system, maps, shards: int, pairs: int = 3):
    """Every shard measures its images; the shards are merged last first."""
    found = []
    for shard in range(shards):
        by_class, whole = ClassDiversityMeter(NAMES), ImageDiversityMeter()
        for index in range(shard, len(maps), shards):
            redrawing = Redrawing(system, maps[index], seed=index, batch_size=2)
            by_class.update(index, measure_classes(redrawing, difference, num_pairs=pairs))
            whole.update(index, measure_image(redrawing, difference, num_pairs=pairs))
        found.append((by_class, whole))
    merged = (ClassDiversityMeter(NAMES), ImageDiversityMeter())
    for shard in reversed(found):
        for total, part in zip(merged, shard, strict=True):
            total.merge(part)
    return merged[0].result(), merged[1].result()


@pytest.mark.parametrize("shards", [1, 2])
def test_repainting_one_class_scores_its_area_and_nothing_else(shards: int) -> None:
    found, _ = meters(RepaintsOneClass(), [STREET, FIELD], shards)
    assert found.image_mean.mocd.value == 0
    assert all(one.value == 0 for one in found.image_mean.ocd.values())
    # (1 * 1/2 + 2 * 1/4 + 3 * 1/4 + 4 * 0) / 4 for the street, (1 * 3/4 + 4 * 1/4) / 4 for the field.
    assert found.image_mean.mcsd.value == pytest.approx((1.75 / 4 + 1.75 / 4) / 2, abs=1e-12)
    assert [one.value for one in found.image_mean.csd.values()] == pytest.approx(
        [0.625, 0.25, 0.375, 0.5], abs=1e-12
    )
    # The mean of a region is what its class alternates by, whatever its size, where it is shown at all.
    assert [one.value for one in found.region_mean.csd.values()] == pytest.approx([1, 2, 3, 4], abs=1e-12)
    assert found.region_mean.mcsd.value == pytest.approx(2.5, abs=1e-12)
    assert found.shown_in == {"sky": 2, "house": 1, "road": 1, "tree": 1}
    assert found.images == 2


@pytest.mark.parametrize("shards", [1, 2])
def test_changing_everything_splits_the_distance_of_the_image(shards: int) -> None:
    maps = [STREET, FIELD, STREET.T, FIELD.flip(0)]
    found, whole = meters(ChangesEverything(), maps, shards, pairs=5)
    assert whole.lpips.value > 0.1
    assert found.image_mean.mcsd.value + found.image_mean.mocd.value == pytest.approx(
        whole.lpips.value, abs=1e-6
    )
    assert found.image_mean.mcsd.value == pytest.approx(whole.lpips.value / len(NAMES), rel=1e-9)
    assert found.region_mean.mcsd.value == pytest.approx(whole.lpips.value, rel=0.15)


def test_shards_give_the_same_digits_in_any_order() -> None:
    maps = [STREET, FIELD, STREET.T, FIELD.flip(0), STREET.flip(0)]
    for system in (RepaintsOneClass(), ChangesEverything()):
        alone = meters(system, maps, 1)
        assert meters(system, maps, 2) == alone
        assert meters(system, maps, 5) == alone


def test_pairs_are_of_the_asked_number_and_do_not_depend_on_other_classes() -> None:
    system = RepaintsOneClass()
    for batch_size in (1, 3, 8):
        redrawing = Redrawing(system, STREET, seed=3, batch_size=batch_size)
        pairs = list(redrawing.pairs(redrawing.prepare(), 1, 7))
        one, other = (torch.cat(side) for side in zip(*pairs, strict=True))
        assert len(one) == 7
        assert torch.equal(one[1:], other[:-1])
        assert max(len(first) for first, _ in pairs) <= batch_size
    first, again = (Redrawing(system, STREET, seed=3).codes(c, 4) for c in (1, 1))
    assert torch.equal(first, again)
    other = Redrawing(system, STREET, seed=4).codes(1, 4)
    assert not torch.equal(first[:, 0], other[:, 0])
    assert (first[:, [0, 2, 3]] == first[:1, [0, 2, 3]]).all()


def test_a_class_that_no_image_shows_and_a_class_that_fills_an_image() -> None:
    filled = torch.zeros(4, 4, dtype=torch.int64)
    found, _ = meters(RepaintsOneClass(), [filled, filled], 1)
    assert found.image_mean.mcsd.value == pytest.approx(1 / 4)
    assert found.image_mean.csd["tree"].value == 0
    assert found.region_mean.csd["tree"] == Estimate(None)
    assert found.region_mean.ocd["sky"] == Estimate(None)  # there is no other pixel
    assert found.region_mean.mcsd.value == pytest.approx(1)
    assert found.region_mean.mocd == Estimate(None)
    assert found.shown_in["tree"] == 0


def test_masked_pictures_show_no_leak_where_no_pixel_changes() -> None:
    """A network's features see beyond a region; here a distance that is blurred."""

    def blurred(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(difference(one, other), 3, stride=1, padding=1)

    redrawing = Redrawing(RepaintsOneClass(), STREET, seed=0)
    meter = ClassDiversityMeter(NAMES)
    meter.update(0, measure_classes(redrawing, blurred, num_pairs=3))
    found = meter.result()
    assert found.image_mean.mocd.value > 0.05
    assert found.masked.mocd.value == 0
    assert found.masked.mcsd.value == pytest.approx(found.image_mean.mcsd.value + found.image_mean.mocd.value)
    local, _ = meters(RepaintsOneClass(), [STREET, FIELD], 1)
    assert local.masked.mcsd.value == pytest.approx(local.image_mean.mcsd.value, abs=1e-12)
    assert local.masked.csd["road"].value == pytest.approx(0.375, abs=1e-12)


def test_what_redrawing_an_absent_class_changes_counts_as_leak() -> None:
    class Leaks(RepaintsOneClass):
        def decode(self, codes, label, instance=None):
            return super().decode(codes, label) + codes[:, 3].view(-1, 1, 1, 1)

    found, _ = meters(Leaks(), [STREET], 1)
    assert found.image_mean.ocd["tree"].value == pytest.approx(4)
    assert found.image_mean.mocd.value == pytest.approx(1)


def test_one_image_has_no_interval_and_none_is_refused() -> None:
    found, whole = meters(ChangesEverything(), [STREET], 1)
    assert found.image_mean.mcsd.value is not None
    assert found.image_mean.mcsd.interval is None
    assert found.region_mean.mcsd.interval is None
    assert whole.lpips.interval is None
    with pytest.raises(ValueError, match="no image was measured"):
        ClassDiversityMeter(NAMES).result()
    meter = ImageDiversityMeter()
    meter.update(3, np.array(0.5))
    with pytest.raises(ValueError, match="image 3 was counted already"):
        meter.update(3, np.array(0.5))
    with pytest.raises(ValueError, match="image 3 was counted already"):
        meter.merge(meter)


def test_the_interval_is_that_of_a_mean_and_repeats() -> None:
    values = np.random.default_rng(0).normal(10, 2, size=100)
    meter = ImageDiversityMeter()
    for index, value in enumerate(values):
        meter.update(index, np.array(value))
    found = meter.result().lpips
    low, high = found.interval
    half = 1.96 * values.std(ddof=1) / 10
    assert found.value == pytest.approx(values.mean())
    assert (found.value - low, high - found.value) == pytest.approx((half, half), rel=0.1)
    assert meter.result().lpips == found


def test_a_tiny_groupdnet_adds_up_too() -> None:
    config = GroupDNetConfig.for_labels(LABELS, image_size=(32, 32), width=8)
    model = GroupDNet(config).eval()
    label = STREET.repeat_interleave(8, 0).repeat_interleave(8, 1)
    redrawing = Redrawing(model, label, seed=0)
    with torch.inference_mode():
        fraction, inside, *_ = measure_classes(redrawing, difference, num_pairs=3)
        whole = measure_image(redrawing, difference, num_pairs=3)
    assert (inside[:3] > 0).all()
    assert inside[3] == 0
    assert fraction.tolist() == [0.5, 0.25, 0.25, 0]
    assert whole > inside.sum() / 2


def test_lpips_is_that_of_the_lpips_package() -> None:
    lpips = pytest.importorskip("lpips")
    weights = shared_folder("weights") / "alexnet_features.safetensors"
    with torch.random.fork_rng(devices=[]):
        reference = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
        spatial = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False, spatial=True).eval()
    # Every convolution of the package's trunk, in its order, from torchvision's keys.
    layers = [
        (s, n)
        for s in range(1, 6)
        for n in (0, 3, 6, 8, 10)
        if hasattr(getattr(reference.net, f"slice{s}"), str(n))
    ]
    tensors = load_file(weights)
    for network in (reference, spatial):
        for slice_, number in layers:
            convolution = getattr(getattr(network.net, f"slice{slice_}"), str(number))
            convolution.load_state_dict(
                {kind: tensors[f"features.{number}.{kind}"] for kind in ("weight", "bias")}
            )
    assert len(layers) == 5
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.rand(2, 3, 64, 64, generator=generator) * 2 - 1 for _ in range(2))
    with torch.no_grad():
        assert torch.equal(alexnet_lpips(weights)(one, other), reference(one, other))
        ours = alexnet_lpips(weights, spatial=True)(one, other)
        assert ours.shape == (2, 1, 64, 64)
        assert torch.equal(ours, spatial(one, other))
    with pytest.raises(ValueError, match=r"vgg16_features\.safetensors lacks features\.3\.weight"):
        alexnet_lpips(shared_folder("weights") / "vgg16_features.safetensors")
