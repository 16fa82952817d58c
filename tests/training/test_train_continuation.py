"""A run that is continued from its saved model: with its discriminator without a jump, with a fresh one not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from groupdnet_hub import GroupDNet, PairedImages
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.figures import write_figures
from groupdnet_hub.hub.discriminator_file import DISCRIMINATOR_FILE

pytest.importorskip("accelerate")
from groupdnet_hub.training.objectives.groupdnet import MultiScaleObjective
from groupdnet_hub.training.state.discriminator_state import take_up
from tests.helpers.train_runs import train_here

# Rates at which the two networks keep each other in balance on so little data.
FLAGS = ("--perceptual_net", "none", "--train_batch_size", "4", "--l1_weight", "10", "--diffaugment")
FLAGS += ("--discriminator_width", "8", "--discriminator_norm", "none", "--r1_weight", "10")
FLAGS += ("--learning_rate", "1e-3", "--discr_learning_rate", "4e-4", "--lr_decay_start", "1")
FLAGS += ("--save_discriminator",)


def held_out_loss(folder: Path, held_out: dict[str, Tensor]) -> float:
    """The loss of a saved discriminator on pictures that were not trained on, and on what its model makes of them."""
    model = GroupDNet.from_pretrained(folder)
    objective = MultiScaleObjective(model.config)
    discriminator = objective.make_discriminator(torch.Generator().manual_seed(0))
    assert "is taken up" in take_up(discriminator, str(folder), model.config, {})
    shape = (len(held_out["label"]), *objective.noise_shape())
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        fakes = objective.draw(model, held_out, noise)
        losses = objective.discriminator_losses(discriminator.eval(), fakes, held_out)
    return float(sum(losses.values()))


@pytest.mark.slow
def test_it_continues_without_a_jump(tmp_path: Path) -> None:
    drawn = tmp_path / "drawn"
    write_figures(drawn, 16, size=(32, 32))
    write_figures(drawn, 24, seed=99, size=(32, 32), split="validation")
    data = PairedImages.from_folder(drawn, (32, 32), split="validation", labels=FIGURE_LABELS)
    held_out = {name: torch.stack([data[i][name] for i in range(24)]) for name in ("image", "label")}
    train_here(drawn, tmp_path / "first", *FLAGS, "--max_train_steps", "150")
    start = tmp_path / "first" / "model"
    alone = shutil.copytree(start, tmp_path / "alone")
    (alone / DISCRIMINATOR_FILE).unlink()
    before, after = held_out_loss(start, held_out), {}
    for name, source in (("with its discriminator", start), ("with a fresh one", alone)):
        flags = ("--pretrained_model_name_or_path", str(source), "--max_train_steps", "20", "--seed", "1")
        train_here(drawn, tmp_path / name, *FLAGS, *flags)
        after[name] = held_out_loss(tmp_path / name / "model", held_out)
    print(f"the discriminator's loss on held-out pictures: {before:.3f} before, 20 steps later {after}")
    # One that knows nothing has a loss of 2.
    assert before < 1.8
    assert abs(after["with its discriminator"] - before) < 0.1 * before
    assert abs(after["with a fresh one"] - before) > 0.1 * before
