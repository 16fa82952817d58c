"""What a configuration says that its networks cost is what they cost."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from groupdnet_hub import PRESETS, CostLimits, GroupDNetConfig, LabelSet
from groupdnet_hub.baselines import SYSTEMS, Pix2PixHDConfig, build_system, system_config, system_preset
from groupdnet_hub.config.cost import Cost
from groupdnet_hub.metrics.cost import count_macs, count_parameters
from tests.helpers.live_memory import LiveMemory
from tests.helpers.network_models import make_model, maps

# Of an estimate from above: look-up tables of the label map are smaller than what they stand for.
FACTOR = 2.2
SMALL = (3, (64, 64), 8, {})
WITH_EDGES = (9, (32, 64), 12, {"instance_edges": True})
LARGER = (16, (128, 128), 16, {})
# Those of ablations are GroupDNet's but for a layer or two.
NETWORKS = [name for name, spec in SYSTEMS.items() if not spec.ablation]
# Beside the systems of the paper.
OPTIONS: tuple[dict[str, Any], ...] = (
    {"code_placement": "box", "encoder_colours": True, "code_filling": "nearest"},
    {"split_mode": "mask", "prior_rank": 8},
    {"fusion_layers": 2, "prior_codes": 20},
    {"latent_channels": 256},
    {"hidden_per_class": 64},
)


@pytest.fixture(autouse=True, scope="module")
def _freed_memory_is_kept_already() -> None:
    """A first picture is drawn: with it a block is made that glibc's thresholds are set by."""
    make_model().prepare(maps("cells", 1, 8, (64, 64)))


def labels_of(count: int) -> LabelSet:
    return LabelSet.from_names([f"class {i}" for i in range(count)])


def check(config: Any) -> None:
    """Parameters to the number; operations (to 5 %) and memory no less than measured, nor ``FACTOR`` times that."""
    system, cost = build_system(config).eval().requires_grad_(False), config.cost
    priors = sum(value.numel() for name, value in system.named_buffers() if name.startswith("prior."))
    assert cost.parameters == count_parameters(system) + priors
    label = maps("noise", 1, config.num_classes, config.image_size)
    instance = label if config.instance_edges else None
    macs, peak = count_macs(system, label, instance), 0
    if system.has_encoder:
        with FlopCounterMode(display=False) as counter, LiveMemory() as memory:
            system.encode(torch.zeros(1, 3, *config.image_size), label)
        macs, peak = macs + int(counter.get_total_flops()) // 2, memory.peak
    with LiveMemory() as memory:
        system.decode(
            system.sample_codes(generator=torch.Generator().manual_seed(0)), system.prepare(label, instance)
        )
    peak = max(peak, memory.peak)
    assert 0.95 * macs <= cost.macs <= FACTOR * macs
    assert peak <= cost.working_bytes <= FACTOR * peak


@pytest.mark.parametrize("name", NETWORKS)
def test_every_system_costs_what_its_configuration_says(name: str) -> None:
    for count, size, width, fields in (SMALL, WITH_EDGES):
        check(system_config(name, labels_of(count), size, width, **fields))


@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
def test_larger_systems_cost_what_their_configuration_says(name: str) -> None:
    count, size, width, fields = LARGER
    check(system_config(name, labels_of(count), size, width, **fields))


@pytest.mark.parametrize("fields", OPTIONS, ids=lambda fields: next(iter(fields)))
def test_every_option_costs_what_its_configuration_says(fields: dict[str, Any]) -> None:
    check(GroupDNetConfig.for_labels(labels_of(6), (64, 128), 8, **fields))


@pytest.mark.slow
def test_many_classes_cost_what_their_configuration_says() -> None:
    check(GroupDNetConfig.for_labels(labels_of(150), (64, 128), 16))


@pytest.mark.parametrize("preset", PRESETS)
def test_the_papers_networks_are_within_the_limits(preset: str) -> None:
    for name in SYSTEMS:
        CostLimits().check(system_preset(name, preset), name)


@pytest.mark.parametrize("name", SYSTEMS)
def test_pictures_of_512_by_1024_are_within_the_limits(name: str) -> None:
    cityscapes = GroupDNetConfig.preset("cityscapes")
    labels = LabelSet(cityscapes.class_names, cityscapes.palette)
    CostLimits().check(system_config(name, labels, (512, 1024), 280, instance_edges=True), name)
    CostLimits().check(cityscapes.replace(image_size=(512, 1024)), name)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"image_size": (8192, 8192)}, "pictures of 8192x8192, and the limit is 16,777,216"),
        ({"image_size": (4096, 8192)}, "pictures of 4096x8192"),
        ({"image_size": (4096, 4096), "width": 16}, r"asks for 3\d\.\d GiB of memory for a picture"),
        ({"classes": 800, "image_size": (1024, 1024)}, r"asks for [\d,]+\.\d GiB of memory"),
        ({"hidden_per_class": 4000, "image_size": (1024, 1024)}, r"asks for [\d,]+\.\d GiB of memory"),
        ({"latent_channels": 30000, "image_size": (256, 256), "width": 2000}, r"multiply-accumulates|GiB"),
        ({"width": 500}, r"asks for [\d,]+\.\d GiB of memory for a picture"),
    ],
)
def test_what_asks_for_much_is_refused_with_the_way_to_raise_the_limit(
    fields: dict[str, Any], match: str
) -> None:
    values = {"image_size": (512, 512), "width": 4} | fields
    config = GroupDNetConfig.for_labels(labels_of(values.pop("classes", 3)), **values)
    with pytest.raises(ValueError, match=match) as caught:
        CostLimits().check(config, "user/model")
    text = str(caught.value)
    assert text.startswith("user/model asks for")
    field = re.search(r"limits=CostLimits\((\w+)=(\d+)\) in Python, GROUPDNET_MAX_([A-Z_]+)=(\d+)", text)
    assert field is not None
    assert field[3].lower() == field[1]
    assert field[2] == field[4]
    raised = CostLimits.from_environment({f"GROUPDNET_MAX_{field[3]}": field[4]})
    assert getattr(raised, field[1]) == int(field[2])
    CostLimits(**{"pixels": 1e12, "memory_gb": 1e6, "tera_macs": 1e6, field[1]: int(field[2])}).check(
        config, ""
    )


def test_networks_that_work_for_long_in_little_memory_are_refused() -> None:
    config = Pix2PixHDConfig(("a",), ((0, 0, 0),), (2048, 2048), 80, residual_blocks=64)
    with pytest.raises(ValueError, match=r"asks for 3\d\.\d x 10\^12 multiply-accumulates.*TERA_MACS=\d\d "):
        CostLimits().check(config, "user/model")


@pytest.mark.parametrize("text", ["much", "0", "-1", "nan", "inf", "1e999", "9" * 5000])
def test_variables_that_are_no_limit(text: str) -> None:
    for name in ("PIXELS", "MEMORY_GB", "TERA_MACS"):
        with pytest.raises(ValueError, match=f"GROUPDNET_MAX_{name} is .*; it must be a number above 0"):
            CostLimits.from_environment({f"GROUPDNET_MAX_{name}": text})


def test_limits_are_numbers_above_zero() -> None:
    for value in (0, -1, math.nan, True, "16", None):
        with pytest.raises(ValueError, match=r"memory_gb is .*; it must be a number above 0"):
            CostLimits(memory_gb=value)  # type: ignore[arg-type]
    assert CostLimits.from_environment({"GROUPDNET_MAX_MEMORY_GB": " "}) == CostLimits()


def test_models_that_are_served_together() -> None:
    gib = 2**30
    limits = CostLimits(memory_gb=8)
    limits.check_together({"a": Cost(gib // 4, 1, 5 * gib), "b": Cost(gib // 4, 1, 6 * gib)})
    with pytest.raises(ValueError, match=r"a, b, c need 9\.0 GiB of memory together, and the limit is 8:"):
        limits.check_together({name: Cost(gib // 4, 1, 6 * gib) for name in "abc"})
