"""The objective of the per-pixel discriminator: it learns, LabelMix keeps to class edges, processes share a batch."""

from __future__ import annotations

from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from groupdnet_hub import GroupDNetConfig
from groupdnet_hub.data.figure_drawing import draw_figure
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.models.layers import GroupedConv2d
from groupdnet_hub.training.augment.class_crops import ClassCrops
from groupdnet_hub.training.augment.diffaugment import DiffAugment
from groupdnet_hub.training.augment.label_mix import LabelMix, mix
from groupdnet_hub.training.objectives.discriminator_inputs import label_input
from groupdnet_hub.training.objectives.groupdnet import MultiScaleObjective
from groupdnet_hub.training.objectives.loss_weights import LossWeights
from groupdnet_hub.training.objectives.objective import ObjectiveParts
from groupdnet_hub.training.objectives.segmentation import SegmentationObjective
from groupdnet_hub.training.shared_stream import RunSeed
from tests.helpers.label_examples import numbered
from tests.helpers.trained_models import random_inputs, trained_like

CONFIG = GroupDNetConfig.for_labels(
    numbered(4), (32, 32), 4, discriminator="segmentation", discriminator_width=4
)


class Same(nn.Module):
    """Its logits are the same for all pixels of all pictures; it keeps what it was shown."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.values, self.shown, self.logits = torch.tensor(values), torch.empty(0), torch.empty(0)

    def forward(self, shown: Tensor) -> Tensor:
        self.shown = shown
        B, _, H, W = shown.shape
        self.logits = self.values.view(1, -1, 1, 1).expand(B, -1, H, W).clone().requires_grad_()
        return self.logits


def discriminator_losses(
    objective: SegmentationObjective, discriminator: nn.Module
) -> tuple[dict[str, Tensor], Tensor]:
    """Its losses on a picture and on noise; and the label map."""
    image, label, _ = random_inputs(CONFIG)
    fake = torch.rand(image.shape, generator=torch.Generator().manual_seed(9)) * 2 - 1
    return objective.discriminator_losses(discriminator, (fake,), {"image": image, "label": label}), label


def test_a_mask_keeps_classes_whole() -> None:
    _, label, _ = random_inputs(CONFIG)
    label[0, :5] = -1
    mixer, seen = LabelMix(4, RunSeed(0)), set()
    for _ in range(20):
        mask = mixer.mask(label)
        assert mask.shape == (2, 1, 32, 32)
        for picture, target in zip(mask[:, 0], label, strict=True):
            sides = [picture[target == class_id].unique().tolist() for class_id in target.unique()]
            assert all(len(side) == 1 for side in sides)
            seen.add(str(sides))
    assert len(seen) > 8  # of the 16 for four classes


def test_masks_are_taken_up_again_and_shared_between_processes() -> None:
    label = torch.arange(4).repeat(4, 4, 1)
    first = LabelMix(4, RunSeed(1))
    first.mask(label)
    state = first.state_dict()
    expected = first.mask(label)
    second = LabelMix(4, RunSeed(2))
    second.load_state_dict(state)
    assert torch.equal(second.mask(label), expected)
    whole = LabelMix(4, RunSeed(1)).mask(label)
    halves = [LabelMix(4, RunSeed(1, rank, 2)).mask(label[:2]) for rank in range(2)]
    assert torch.equal(torch.cat(halves), whole)


def test_a_mixed_picture_is_made_of_both() -> None:
    mask = torch.tensor([[[[True, False]]]])
    assert mix(mask, torch.ones(1, 3, 1, 2), -torch.ones(1, 3, 1, 2))[0, 0, 0].tolist() == [1, -1]


@pytest.mark.parametrize(("kernel", "consistent"), [(1, True), (3, False)])
def test_only_who_looks_across_edges_is_inconsistent(kernel: int, consistent: bool) -> None:
    objective = SegmentationObjective(
        CONFIG, ObjectiveParts(label_mix=LabelMix(4, RunSeed(0)), labelmix_weight=2.0)
    )
    network = GroupedConv2d(3, 5, kernel)
    network.initialise(1.0, torch.Generator().manual_seed(0))
    losses, _ = discriminator_losses(objective, network)
    found = float(losses["discriminator_mixed"].detach())
    assert found < 1e-12 if consistent else found > 1e-3
    twice = SegmentationObjective(
        CONFIG, ObjectiveParts(label_mix=LabelMix(4, RunSeed(0)), labelmix_weight=4.0)
    )
    losses, _ = discriminator_losses(twice, network)
    assert float(losses["discriminator_mixed"].detach()) == pytest.approx(2 * found)
    without, _ = discriminator_losses(SegmentationObjective(CONFIG), network)
    assert set(without) == {"discriminator_fake", "discriminator_real"}


def test_losses_by_hand() -> None:
    """All pixels show class 1 by three nats: the loss is the mean over classes, not over pixels."""
    image, label, noise = random_inputs(CONFIG)
    label = torch.zeros_like(label)
    label[:, :8, :8] = 1
    batch, network = {"image": image, "label": label}, Same(0.0, 3.0, 0.0, 0.0, 0.0)
    log_sum = float(torch.tensor([0.0, 3.0, 0.0, 0.0, 0.0]).logsumexp(dim=0))
    objective = SegmentationObjective(CONFIG)
    losses, pictures = objective.generator_losses(
        trained_like(CONFIG), network, batch, noise, LossWeights(adversarial=2.0, feature_matching=0.0)
    )
    assert float(losses["adversarial"].detach()) == pytest.approx(2 * (log_sum - 1.5), rel=1e-5)
    assert network.shown.shape == (2, 3, 32, 32)  # pictures alone, and no real ones
    on_both = objective.discriminator_losses(network, pictures, batch)
    assert float(on_both["discriminator_real"].detach()) == pytest.approx(log_sum - 1.5, rel=1e-5)
    assert float(on_both["discriminator_fake"].detach()) == pytest.approx(log_sum, rel=1e-5)


@pytest.mark.parametrize(("balance", "share"), [(0.0, 1 / 16), (1.0, 1 / 2)])
def test_class_balance_is_that_of_fake_pixels(balance: float, share: float) -> None:
    """Fake pixels are found out where the picture is white, which is class 1."""

    class White(nn.Module):
        def forward(self, shown: Tensor) -> Tensor:
            return F.pad(1e3 * (shown[:, :1] < 0.5), (0, 0, 0, 0, 1, 3))

    image, label, _ = random_inputs(CONFIG)
    label = torch.zeros_like(label)
    label[:, :8, :8] = 1
    fake = torch.where(label == 1, 1.0, 0.0)[:, None].expand(-1, 3, -1, -1)
    objective = SegmentationObjective(CONFIG, ObjectiveParts(class_balance=balance))
    losses = objective.discriminator_losses(White(), (fake,), {"image": image, "label": label})
    expected = (1 - share) * 1e3 + share * float(torch.tensor(5.0).log())
    assert float(losses["discriminator_fake"]) == pytest.approx(expected, rel=1e-4)


def test_what_is_cut_out_or_moved_in_is_no_target() -> None:
    objective = SegmentationObjective(CONFIG, ObjectiveParts(augment=DiffAugment(RunSeed(0))))
    network = Same(0.0, 1.0, 0.0, 0.0, 0.0)
    losses, _ = discriminator_losses(objective, network)
    torch.stack(list(losses.values())).sum().backward()
    gone = (network.shown == 0).all(dim=1)
    assert 0.1 < gone.float().mean() < 0.6
    counted = (network.logits.grad != 0).any(dim=1)
    assert torch.equal(counted, ~gone)


class Moved:
    """An augmentation that moves everything alike."""

    def __call__(self, x: Tensor, copies: int) -> Tensor:
        return x.roll((3, 5), (2, 3))

    def observe(self, realness: Tensor, counts: Tensor | None = None) -> None:
        """It does not adapt."""


def test_label_map_and_picture_move_together() -> None:
    """A picture that shows its label map in grey is told apart as well after it was moved and cut."""
    objective = SegmentationObjective(CONFIG, ObjectiveParts(augment=Moved()))

    class Reader(nn.Module):
        def forward(self, shown: Tensor) -> Tensor:
            distance = (shown[:, :1] - torch.tensor([0.0, 0.1, 0.2, 0.3, 9.0]).view(1, -1, 1, 1)).abs()
            return -1e3 * distance

    _, label, _ = random_inputs(CONFIG)
    image = (label / 10)[:, None].expand(-1, 3, -1, -1)
    losses = objective.discriminator_losses(Reader(), (image,), {"image": image, "label": label})
    assert float(losses["discriminator_real"]) < 1e-6


def test_windows_are_judged_as_pictures_are() -> None:
    """Label input and pictures of another size, enlarged so that edges are soft."""
    objective = SegmentationObjective(CONFIG, ObjectiveParts(label_mix=LabelMix(4, RunSeed(0))))
    image, label, _ = random_inputs(CONFIG)
    condition = label_input({"label": label}, CONFIG)
    windows = ClassCrops(20, 4, RunSeed(0))(label, (condition, image.flip(0), image))
    network = objective.make_discriminator(torch.Generator().manual_seed(0))
    of_pixels = objective.discriminator_terms(network, *windows)
    assert set(of_pixels) == {"discriminator_fake", "discriminator_real", "discriminator_mixed"}
    losses = objective.generator_terms(network, *windows, LossWeights(feature_matching=1.0))
    assert set(losses) == {"adversarial", "feature_matching"}
    assert all(torch.isfinite(loss) for loss in {**of_pixels, **losses}.values())


def test_each_step_trains_one_side() -> None:
    model = trained_like(CONFIG).train()
    image, label, noise = random_inputs(CONFIG)
    batch = {"image": image, "label": label}
    objective = SegmentationObjective(CONFIG, ObjectiveParts(label_mix=LabelMix(4, RunSeed(0))))
    network = objective.make_discriminator(torch.Generator().manual_seed(0)).requires_grad_(False)
    losses, fakes = objective.generator_losses(
        model, network, batch, noise, LossWeights(feature_matching=0.0)
    )
    losses["adversarial"].backward()
    assert all(weight.grad is None for weight in network.parameters())
    moved = [weight.grad for weight in model.decoder.parameters() if weight.grad is not None]
    assert any(gradient.abs().max() > 0 for gradient in moved)
    model.zero_grad()
    network.requires_grad_(True)
    torch.stack(list(objective.discriminator_losses(network, fakes, batch).values())).sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())
    assert all(weight.grad is None for weight in model.parameters())


def test_feature_matching_compares_the_decoders_features() -> None:
    objective = SegmentationObjective(CONFIG)
    network = objective.make_discriminator(torch.Generator().manual_seed(0)).eval()
    image, label, _ = random_inputs(CONFIG)
    condition = label_input({"label": label}, CONFIG)
    same = objective.generator_terms(network, condition, image, image, LossWeights(feature_matching=2.0))
    assert float(same["feature_matching"].detach()) == 0
    other = objective.generator_terms(
        network, condition, image.flip(0), image, LossWeights(feature_matching=2.0)
    )
    features = zip(network.features(image.flip(0))[:-1], network.features(image)[:-1], strict=True)
    expected = 2 * sum(float((a - b).abs().mean().detach()) for a, b in features)
    assert float(other["feature_matching"].detach()) == pytest.approx(expected, rel=1e-4)
    none = objective.generator_terms(network, condition, image, image, LossWeights(feature_matching=0.0))
    assert set(none) == {"adversarial"}


@pytest.mark.parametrize("kind", [MultiScaleObjective, SegmentationObjective])
def test_scores_of_real_pictures(kind: type[MultiScaleObjective] | type[SegmentationObjective]) -> None:
    """One for each picture, by itself, and differentiable for a penalty on the gradient."""
    objective = kind(CONFIG, ObjectiveParts(class_balance=0.5))
    network = objective.make_discriminator(torch.Generator().manual_seed(0)).eval()
    image, label, _ = random_inputs(CONFIG)
    image.requires_grad_()
    scores = objective.real_scores(network, {"image": image, "label": label})
    assert scores.shape == (2,)
    for i in range(2):
        alone = objective.real_scores(network, {"image": image[i : i + 1], "label": label[i : i + 1]})
        torch.testing.assert_close(alone, scores[i : i + 1])
    (gradient,) = torch.autograd.grad(scores[1], image, create_graph=True)
    assert gradient[0].abs().max() == 0
    assert gradient[1].abs().max() > 0
    gradient.square().sum().backward()
    assert any(weight.grad is not None and weight.grad.any() for weight in network.parameters())


def test_scores_by_hand() -> None:
    batch = dict(zip(("image", "label"), random_inputs(CONFIG), strict=False))
    scores = SegmentationObjective(CONFIG).real_scores(Same(0.0, 0.0, 0.0, 0.0, 2.0), batch)
    assert scores.tolist() == pytest.approx([float(torch.tensor(4.0).log()) - 2] * 2)
    moved = SegmentationObjective(CONFIG).real_scores(
        Same(0.0, 0.0, 0.0, 0.0, 2.0), batch, DiffAugment(RunSeed(0))
    )
    assert moved.tolist() == pytest.approx(scores.tolist())  # over the pixels that are left


def test_it_learns_to_tell_people_from_blurred_ones_and_to_segment_them() -> None:
    config = GroupDNetConfig.for_labels(
        FIGURE_LABELS, (32, 32), 4, discriminator="segmentation", discriminator_width=8
    )
    people = [draw_figure(i, (32, 32), crop="upper") for i in range(24)]
    image = torch.stack([torch.from_numpy(np.array(picture)) for picture, _ in people]).permute(0, 3, 1, 2)
    image = image.float() / 127.5 - 1
    label = torch.stack([torch.from_numpy(np.asarray(ids)).long() for _, ids in people])
    blurred = F.interpolate(F.avg_pool2d(image, 4), scale_factor=4.0, mode="bilinear")
    objective = SegmentationObjective(
        config, ObjectiveParts(label_mix=LabelMix(8, RunSeed(0)), class_balance=1.0)
    )
    network = objective.make_discriminator(torch.Generator().manual_seed(0))
    adam = torch.optim.Adam(network.parameters(), lr=2e-3, betas=(0.0, 0.9))
    for step in range(60):
        part = slice(8 * (step % 2), 8 * (step % 2) + 8)
        losses = objective.discriminator_losses(
            network, (blurred[part],), {"image": image[part], "label": label[part]}
        )
        torch.stack(list(losses.values())).sum().backward()
        adam.step()
        adam.zero_grad()
    network.eval()
    unseen = slice(16, 24)
    with torch.no_grad():
        batch = {"image": image[unseen], "label": label[unseen]}
        real = objective.real_scores(network, batch)
        fake = objective.real_scores(network, {**batch, "image": blurred[unseen]})
        found = network(image[unseen])[:, :-1].argmax(dim=1)
    assert real.min() > fake.max()
    right = [float((found == c)[label[unseen] == c].float().mean()) for c in label[unseen].unique()]
    assert sum(right) / len(right) > 4 / 8  # four times what chance would give


def test_processes_average_to_what_one_would_do(tmp_path: Path) -> None:
    """Frequencies are those of the whole batch, though its parts show other classes."""
    with get_context("spawn").Pool(2) as processes:
        shared = processes.starmap(gradients, [(part, tmp_path / "meeting") for part in range(2)], 1)
    whole = gradients(None)
    for name, value in whole.items():
        for found in shared:
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6, msg=name)


def gradients(part: int | None, meeting: Path | None = None) -> dict[str, Tensor]:
    """Of the discriminator, and the generator's loss: for a whole batch, or for a part by one of two processes."""
    torch.set_num_threads(1)
    image, label, _ = random_inputs(CONFIG)
    label = torch.stack((torch.zeros_like(label[0]), label[1].clamp(min=1)))
    fake = image.flip(0).clone()
    own = slice(None) if part is None else slice(part, part + 1)
    if meeting is not None:
        dist.init_process_group(
            "gloo", init_method=meeting.as_uri(), rank=part, world_size=2, timeout=timedelta(minutes=2)
        )
    ranks = (0, 1) if part is None else (part, 2)
    objective = SegmentationObjective(CONFIG, ObjectiveParts(label_mix=LabelMix(4, RunSeed(0, *ranks))))
    network = objective.make_discriminator(torch.Generator().manual_seed(0)).eval()
    wrapped = network if meeting is None else DistributedDataParallel(network)
    batch = {"image": image[own], "label": label[own]}
    losses = objective.discriminator_losses(wrapped, (fake[own],), batch)
    torch.stack(list(losses.values())).sum().backward()
    found = {name: weight.grad for name, weight in network.named_parameters()}
    picture = fake[own].requires_grad_()
    condition = label_input(batch, CONFIG)
    terms = objective.generator_terms(
        network, condition, picture, image[own], LossWeights(feature_matching=0.0)
    )
    # What a wrapper would make of the two parts.
    value = terms["adversarial"].detach()
    if meeting is not None:
        dist.all_reduce(value)
        value /= 2
        dist.destroy_process_group()
    return {**found, "adversarial": value}
