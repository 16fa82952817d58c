"""What the discriminator is shown beside whole training pictures: windows of them, and pictures to compare with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from groupdnet_hub import GroupDNetConfig, PairedImages
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.figures import write_figures
from groupdnet_hub.training.augment.class_crops import DiscriminatorCrops
from groupdnet_hub.training.augment.diffaugment import DiffAugment
from groupdnet_hub.training.augment.label_mix import LabelMix
from groupdnet_hub.training.build import build_objective
from groupdnet_hub.training.objectives.discriminator_inputs import frozen_features
from groupdnet_hub.training.objectives.discriminator_means import DiscriminatorMeans
from groupdnet_hub.training.objectives.gradient_penalty import LazyR1
from groupdnet_hub.training.objectives.groupdnet import MultiScaleObjective
from groupdnet_hub.training.objectives.loss_weights import LossWeights
from groupdnet_hub.training.objectives.objective import ObjectiveParts
from groupdnet_hub.training.objectives.reconstruction import ReconstructionObjective
from groupdnet_hub.training.objectives.segmentation import SegmentationObjective
from groupdnet_hub.training.shared_stream import RunSeed

CONFIG = GroupDNetConfig.for_labels(
    FIGURE_LABELS, (32, 32), 4, discriminator_width=4, discriminator_norm="none"
)


class Given(nn.Module):
    """A generator that draws what it was given."""

    def __init__(self, picture: Tensor) -> None:
        super().__init__()
        self.picture = nn.Parameter(picture)

    def forward(self, *_: Tensor) -> tuple[Tensor, None]:
        return self.picture, None


def example() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    label = torch.zeros(3, 32, 32, dtype=torch.long)
    label[:, 8:24, 8:24] = 4
    label[:, 10:16, 12:18] = 2
    return {"image": torch.rand(3, 3, 32, 32, generator=generator) * 2 - 1, "label": label}


def objective_of(kind: str, windows: DiscriminatorCrops | None) -> ReconstructionObjective:
    if kind == "segmentation":
        return SegmentationObjective(
            CONFIG, ObjectiveParts(windows=windows, label_mix=LabelMix(8, RunSeed(0)))
        )
    return MultiScaleObjective(CONFIG, ObjectiveParts(windows=windows))


def made_by(objective: ReconstructionObjective) -> nn.Module:
    """A discriminator whose first words are loud enough to tell one loss from another."""
    discriminator = objective.make_discriminator(torch.Generator().manual_seed(0)).eval()
    for name, value in discriminator.named_parameters():
        if name.endswith("last.weight"):
            nn.init.normal_(value, std=0.3, generator=torch.Generator().manual_seed(1))
    return discriminator


@pytest.mark.parametrize("kind", ["multiscale", "segmentation"])
def test_losses_are_the_means_of_whole_pictures_and_windows(kind: str) -> None:
    batch = example()
    fake = batch["image"].flip(3)
    whole = objective_of(kind, None)
    discriminator = made_by(whole)
    drawn = DiscriminatorCrops(16, 8, RunSeed(5)).draw(batch["label"])
    alone = whole.discriminator_losses(discriminator, (fake,), batch)
    cut = whole.discriminator_losses(discriminator, tuple(drawn.pictures([fake])), drawn.batch(batch))
    both = objective_of(kind, DiscriminatorCrops(16, 8, RunSeed(5)))
    found = both.discriminator_losses(discriminator, (fake,), batch)
    assert set(found) == set(alone)
    for name, value in found.items():
        torch.testing.assert_close(value, (alone[name] + cut[name]) / 2)
        assert not torch.isclose(alone[name], cut[name])


@pytest.mark.parametrize("kind", ["multiscale", "segmentation"])
def test_the_generator_learns_from_windows_and_r1_sees_them(kind: str) -> None:
    batch, weights = example(), LossWeights(l1=0.0)
    gradients, penalties = [], []
    for windows in (None, DiscriminatorCrops(16, 8, RunSeed(5))):
        objective = objective_of(kind, windows)
        discriminator = made_by(objective)
        model = Given(torch.zeros(3, 3, 32, 32))
        losses, (drawn,) = objective.generator_losses(model, discriminator, batch, torch.zeros(0), weights)
        sum(losses.values()).backward()
        gradients.append(model.picture.grad.clone())
        assert torch.equal(objective.draw(model, batch, torch.zeros(0))[0], drawn)
        penalties.append(LazyR1(1.0, 1).loss(objective, discriminator, batch).detach())
    inside = DiscriminatorCrops(16, 8, RunSeed(5)).draw(batch["label"])
    rows, columns = inside.rows.round().long(), inside.columns.round().long()
    for i in range(3):
        change = (gradients[1][i] - 0.5 * gradients[0][i]).abs().sum(dim=0)
        outside = change.clone()
        outside[rows[i].min() - 1 : rows[i].max() + 2, columns[i].min() - 1 : columns[i].max() + 2] = 0
        # Half of the gradient is that of whole pictures; the other half is inside of the window.
        assert change.max() > 1e-8
        assert outside.max() < 1e-4 * change.max()
    assert not torch.isclose(penalties[0], penalties[1])


@pytest.mark.parametrize("name", ["bicyclegan", "dscgan"])
def test_systems_with_losses_of_their_own_have_no_windows(name: str) -> None:
    with pytest.raises(ValueError, match="--discriminator_crop has no effect"):
        build_objective(name, CONFIG, ObjectiveParts(windows=DiscriminatorCrops(16, 8, RunSeed(0))))


def test_a_discriminator_that_knows_its_pictures_by_heart_is_found_out(tmp_path: Path) -> None:
    write_figures(tmp_path, 4, size=(32, 32))
    write_figures(tmp_path, 6, seed=9, size=(32, 32), split="validation")
    train, validation = (
        PairedImages.from_folder(tmp_path, (32, 32), split=split, labels=FIGURE_LABELS)
        for split in ("train", "validation")
    )
    objective = MultiScaleObjective(CONFIG)
    discriminator = objective.make_discriminator(torch.Generator().manual_seed(0))
    means = DiscriminatorMeans(objective, train, validation, 3, torch.device("cpu"))
    assert means.count == 4  # as many of both
    before = means(discriminator)
    assert discriminator.training
    real, other = (
        {name: torch.stack([data[i][name] for i in range(4)]) for name in ("image", "label")}
        for data in (train, validation)
    )
    # It learns to tell its pictures from others that are as real.
    optimizer = torch.optim.Adam(discriminator.parameters(), 2e-3, (0.0, 0.9))
    for _ in range(30):
        optimizer.zero_grad()
        on_fake, on_real = (
            objective.real_scores(discriminator, batch).mean() for batch in ({**real, **other}, real)
        )
        (torch.relu(1 + on_fake) + torch.relu(1 - on_real)).backward()
        optimizer.step()
    after = means(discriminator)
    assert after["discriminator_gap"] > before["discriminator_gap"] + 0.1
    expected = objective.real_scores(discriminator.eval(), real).mean().item()
    assert after["discriminator_on_train"] == pytest.approx(expected, abs=1e-5)


def test_real_pictures_are_judged_without_gradients_as_in_one_batch_with_the_others() -> None:
    batch = example()
    condition = torch.nn.functional.one_hot(batch["label"], 8).permute(0, 3, 1, 2).float()
    fake, real = torch.zeros_like(batch["image"]).requires_grad_(), batch["image"].clone().requires_grad_()
    objective, found = objective_of("multiscale", None), {}
    for how in ("apart", "together"):
        discriminator = (
            objective.make_discriminator(torch.Generator().manual_seed(0)).requires_grad_(False).train()
        )
        augment = DiffAugment(RunSeed(0))
        fakes, reals, shown = frozen_features(
            discriminator, condition, fake, real, augment, together=how == "together"
        )
        if how == "apart":
            assert not any(feature.requires_grad for scale in reals for feature in scale)
        assert discriminator.training
        loss = torch.stack(
            [(a - b.detach()).square().mean() for a, b in zip(fakes[0], reals[0], strict=True)]
        )
        vectors = {name: value for name, value in discriminator.state_dict().items() if name.endswith("_u")}
        found[how] = (
            shown.detach(),
            loss.detach(),
            *torch.autograd.grad(loss.sum(), fake),
            *vectors.values(),
        )
    for apart, together in zip(*found.values(), strict=True):
        torch.testing.assert_close(apart, together)
