"""Adaptive augmentation: its share follows the discriminator, on all processes alike, and is part of a checkpoint."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from groupdnet_hub import GroupDNetConfig
from groupdnet_hub.baselines import system_config
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.training.augment.adaptive import AdaptiveDiffAugment
from groupdnet_hub.training.augment.diffaugment import DiffAugment
from groupdnet_hub.training.objectives.groupdnet import MultiScaleObjective
from groupdnet_hub.training.objectives.latent import BicycleObjective, DiversityObjective
from groupdnet_hub.training.objectives.objective import ObjectiveParts
from groupdnet_hub.training.objectives.segmentation import SegmentationObjective
from groupdnet_hub.training.shared_stream import RunSeed


def example(batch: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch, 2 + 3, 32, 48, generator=generator) + 1


def augment(seed: int = 0, rank: int = 0, processes: int = 1, rise: int = 400) -> AdaptiveDiffAugment:
    return AdaptiveDiffAugment(0.6, rise, RunSeed(seed, rank, processes), torch.device("cpu"))


def test_it_begins_with_nothing_and_ends_with_all() -> None:
    x, adaptive = example(), augment()
    torch.testing.assert_close(adaptive(x), x)
    adaptive = augment()
    adaptive.probability.fill_(1)
    assert torch.equal(adaptive(x), DiffAugment(RunSeed(0))(x))


def test_each_augmentation_is_applied_to_its_share() -> None:
    adaptive = augment()
    adaptive.probability.fill_(0.3)
    draws = adaptive.draw(4000, torch.device("cpu"))
    for columns in ((0, 1, 2), (3, 4), (5, 6)):
        neutral = torch.tensor([0.5, 2.0])[int(columns[0] == 5)]
        applied = (draws[:, columns] != neutral).all(dim=1)
        assert applied.float().mean() == pytest.approx(0.3, abs=0.03)
        # All draws of one augmentation together, or none.
        assert torch.equal(applied, (draws[:, columns] != neutral).any(dim=1))


def test_the_share_follows_what_is_said_of_training_pictures() -> None:
    adaptive, sure, doubtful = augment(), torch.full((8, 30), 3.0), torch.tensor([1.0, -1.0]).repeat(4, 15)
    seen = []
    for _ in range(100):
        adaptive.observe(sure)
        seen.append(float(adaptive.probability))
    # 8 pictures of 400 a time, once the average has risen above the target.
    assert seen[20] == 0
    assert seen[60] - seen[59] == pytest.approx(8 / 400)
    assert seen[-1] == 1
    assert adaptive.report()["augment_overfitting"] > 0.9
    for _ in range(200):
        adaptive.observe(doubtful)
    assert float(adaptive.probability) == 0
    assert abs(float(adaptive.overfitting)) < 0.1


def test_places_count_as_told() -> None:
    adaptive, said = augment(), torch.tensor([1.0, -1.0]).repeat(8, 5)
    for _ in range(300):
        adaptive.observe(said, (said > 0).float())
    assert float(adaptive.overfitting) == pytest.approx(1, abs=0.01)
    for _ in range(300):
        adaptive.observe(said, torch.zeros_like(said))
    assert float(adaptive.overfitting) == pytest.approx(0, abs=0.01)


def test_a_checkpoint_holds_it() -> None:
    x, first = example(), augment()
    for _ in range(60):
        first.observe(torch.ones(8, 4))
    first(x)
    # As it is read from a file: of tensors of its own.
    state = {key: value.clone() for key, value in first.state_dict().items()}
    second = augment(seed=5)
    second.load_state_dict(state)
    for one in (first, second):
        one.observe(torch.ones(8, 4))
    assert torch.equal(first(x), second(x))
    assert first.probability > 0
    assert torch.equal(first.probability, second.probability)


def test_two_processes_draw_what_one_would() -> None:
    x, whole = example(4), augment()
    parts = [augment(rank=rank, processes=2) for rank in range(2)]
    for one in (whole, *parts):
        one.probability.fill_(0.5)
    expected = whole(x)
    # Chances are drawn after the draws of all processes: one call each.
    torch.testing.assert_close(
        torch.cat([part(x[2 * i : 2 * i + 2]) for i, part in enumerate(parts)]), expected
    )


@pytest.mark.parametrize("name", ["GroupDNet", "pix2pixHD", "BicycleGAN", "DSCGAN", "segmentation"])
def test_every_objective_tells_it_of_real_pictures(name: str) -> None:
    """A discriminator that finds everything real, as its goal is, leads to p > 0; one that finds all fake does not."""
    if name in ("GroupDNet", "segmentation"):
        config = GroupDNetConfig.for_labels(FIGURE_LABELS, (32, 32), 4, discriminator_width=4)
    else:
        config = system_config(name, FIGURE_LABELS, (32, 32), 8, discriminator_width=4)
    makers = {
        "BicycleGAN": BicycleObjective,
        "DSCGAN": DiversityObjective,
        "segmentation": SegmentationObjective,
        "pix2pixHD": partial(MultiScaleObjective, least_squares=True),
    }
    image = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    batch = {"image": image, "label": torch.zeros(4, 32, 32, dtype=torch.long)}
    goal_of_fakes = -1.0 if name in ("GroupDNet", "segmentation") else 0.0
    for bias, rises in ((1.0, True), (goal_of_fakes, False)):
        adaptive = augment()
        adaptive.overfitting.fill_(0.59)
        objective = makers.get(name, MultiScaleObjective)(config, ObjectiveParts(augment=adaptive))
        discriminator = objective.make_discriminator(torch.Generator().manual_seed(0)).eval()
        for key, value in discriminator.named_parameters():
            if "last" in key:
                torch.nn.init.constant_(value, bias if key.endswith("bias") else 0.0)
                if name == "segmentation" and key.endswith("bias"):
                    torch.nn.init.constant_(value[-1], -9 * bias)  # the last one is "fake"
        for _ in range(3):
            objective.discriminator_losses(discriminator, (batch["image"], batch["image"]), batch)
        assert (float(adaptive.probability) > 0) == rises
