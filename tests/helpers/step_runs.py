"""Runs that are ready for their first step, without a data set on the disk."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from accelerate import Accelerator
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from groupdnet_hub import LabelSet, PairedImages
from groupdnet_hub.data.figure_drawing import draw_figure
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.training.build import build_model, objective_of
from groupdnet_hub.training.config import ResolvedTrainConfig, parse_train_config
from groupdnet_hub.training.ema import InferenceModel
from groupdnet_hub.training.fast.build_step import build_step
from groupdnet_hub.training.fast.step_form import StepForm
from groupdnet_hub.training.run import build_learner
from groupdnet_hub.training.step import Learner, MakeStep
from train.train import set_schedules


@dataclasses.dataclass
class StepRun:
    """A run that is ready for its first step.

    Attributes:
        make_step: updates the networks on a batch.
        step: updates made so far, on which rates and weights depend.
        autocast: whether steps are made under autocast to bfloat16. The accelerators of one process share one
            precision, so that runs of several, which a benchmark compares, leave that to this.
    """

    settings: ResolvedTrainConfig
    learner: Learner
    inference: InferenceModel
    form: StepForm
    make_step: MakeStep
    step: int = 0
    autocast: bool = False

    @property
    def networks(self) -> tuple[nn.Module, nn.Module]:
        """The model and the discriminator."""
        return self.learner.model, self.learner.discriminator

    @property
    def optimizers(self) -> tuple[Any, Any]:
        """Theirs."""
        return self.learner.optimizer, self.learner.discr_optimizer

    def update(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Make a step as the loop does, without counting it."""
        steps = self.settings.max_train_steps or 0
        weights, kind = set_schedules(self.settings, self.learner, self.step, steps)
        device, rounded = self.learner.accelerator.device, self.autocast
        with torch.autocast(device.type, torch.bfloat16, enabled=rounded):
            losses = self.make_step(batch, weights, kind)
        if kind.generator:
            self.inference.follow(self.learner.accelerator.unwrap_model(self.learner.model))
        return losses


@contextlib.contextmanager
def step_run(
    flags: Sequence[str],
    form: StepForm,
    *,
    classes: int = 8,
    batch_size: int = 2,
    device: str = "cpu",
    mixed_precision: str = "no",
    unknown: bool = False,
) -> Iterator[tuple[StepRun, list[dict[str, Tensor]]]]:
    """A run that is ready for its first step, and two batches on its device.

    Args:
        flags: of train.py, but for those of the data; the perceptual net has random weights unless they say otherwise.
        classes: of the label maps, and of a model that no flag describes.
        unknown: whether some pixels of the label maps are.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked = [*flags, "--train_data_dir", folder, "--output_dir", f"{folder}/run", "--report_to", "none"]
        asked += ["--train_batch_size", str(batch_size), "--mixed_precision", mixed_precision]
        if "--max_train_steps" not in flags:
            asked += ["--max_train_steps", "1000"]
        settings = parse_train_config(asked)
        if settings.perceptual_net != "none" and settings.perceptual_weights is None:
            trunk = str(random_trunk(Path(folder), settings.perceptual_net))
            settings = dataclasses.replace(settings, perceptual_weights=trunk)
        with contextlib.redirect_stdout(io.StringIO()):
            accelerator = Accelerator(cpu=device == "cpu", mixed_precision="no")
            labels = LabelSet.from_names([f"c{i}" for i in range(classes)])
            model, _ = build_model(settings, dataclasses.replace(labels, ignore=(255,) if unknown else ()))
            resolved = settings.resolved(objective_of(model.config), accelerator.num_processes)
            data = pictures(
                model.labels, model.config.image_size, 2 * batch_size, model.config.instance_edges
            )
            learner, inference = build_learner(resolved, accelerator, model, data, form)
            step, autocast = build_step(learner, form), mixed_precision == "bf16" and form.dtype is None
            run = StepRun(resolved, learner, inference, form, step, autocast=autocast)
        for network in run.networks:
            network.train()
        halves = (range(start, start + batch_size) for start in (0, batch_size))
        batches = [torch.utils.data.default_collate([data[i] for i in half]) for half in halves]
        yield run, [{k: v.to(accelerator.device) for k, v in batch.items()} for batch in batches]


def pictures(labels: LabelSet, size: tuple[int, int], count: int, instances: bool) -> PairedImages:
    """Noise, with label maps of drawn people whose classes are spread over the label set; a few stripes are unknown."""
    generator = np.random.default_rng(0)
    pairs = []
    for seed in range(count):
        ids = draw_figure(seed, size)[1].astype(np.int64) * len(labels) // len(FIGURE_LABELS)
        instance = Image.fromarray(ids.astype(np.uint8)) if instances else None
        if labels.ignore:
            ids[seed::9] = 255
        picture = Image.fromarray(generator.integers(0, 256, (*size, 3), dtype=np.uint8))
        pairs.append((picture, Image.fromarray(ids.astype(np.uint8)), instance))
    return PairedImages(pairs, labels, size)


def random_trunk(folder: Path, net: str) -> Path:
    """A file of random weights for a perceptual net."""
    with torch.device("meta"):  # the classifier behind the trunk takes most of the memory, and is not wanted
        trunk = getattr(torchvision.models, net)(weights=None).features
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for key, value in trunk.state_dict().items():
        scale = (2 / value[0].numel()) ** 0.5 if value.ndim > 1 else 0.0
        weights[f"features.{key}"] = scale * torch.randn(value.shape, generator=generator)
    target = folder / f"{net}.safetensors"
    save_file(weights, target)
    return target
