"""The state of a run and what is done with it: a step, a look at samples, a checkpoint, the final model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm.auto import tqdm

from groupdnet_hub import StreamedImages
from groupdnet_hub.baselines import System
from groupdnet_hub.hub.discriminator_file import DISCRIMINATOR_FILE
from groupdnet_hub.runs.time_limit import TimeLimit
from groupdnet_hub.training.build import build_objective
from groupdnet_hub.training.config import ResolvedTrainConfig
from groupdnet_hub.training.config.rates import RATES
from groupdnet_hub.training.data import Data, batch_of, build_loader
from groupdnet_hub.training.distributed import divide_batch_norm, mean_over_processes, synchronise_batch_norm
from groupdnet_hub.training.ema import ShownModel
from groupdnet_hub.training.fast.step_form import StepForm, StepKind
from groupdnet_hub.training.objectives.discriminator_means import build_means
from groupdnet_hub.training.objectives.gradient_penalty import LazyR1
from groupdnet_hub.training.objectives.loss_weights import used_weights, weights_at, with_redraw_every
from groupdnet_hub.training.objectives.losses import PerceptualLoss
from groupdnet_hub.training.preview import posterior_report, sample_grid, save_picture
from groupdnet_hub.training.random_streams import build_streams
from groupdnet_hub.training.run_facts import run_facts
from groupdnet_hub.training.schedules import learning_rate_factor, make_optimizer, set_rate
from groupdnet_hub.training.state.checkpoints import load_checkpoint, save_checkpoint
from groupdnet_hub.training.state.discriminator_state import take_up, weights_to_save
from groupdnet_hub.training.state.extra_state import keep_own_state
from groupdnet_hub.training.step import build_step
from groupdnet_hub.training.throughput import Throughput


class Trainer:
    """Networks, optimisers and data of one run, on one process of perhaps many.

    Args:
        objective: one of ``RATES``.
        form: how steps are computed.
        on_device: whether ``data`` is kept on the device.

    Attributes:
        step: updates made so far.
        total_steps: updates to make.
    """

    def __init__(
        self,
        settings: ResolvedTrainConfig,
        accelerator: Accelerator,
        model: System,
        objective: str,
        data: Data,
        grid: Mapping[str, Tensor],
        form: StepForm,
        *,
        on_device: bool,
    ) -> None:
        self.pictures_per_step = (
            settings.train_batch_size * accelerator.num_processes * settings.gradient_accumulation_steps
        )
        # A stream's length is not known.
        self.pictures = None if isinstance(data, StreamedImages) else len(data)
        if self.pictures is not None and self.pictures < self.pictures_per_step:
            raise ValueError(
                f"{self.pictures} pictures do not fill one step of {self.pictures_per_step} (--train_batch_size x "
                "processes x --gradient_accumulation_steps): lower one of them"
            )
        self.settings, self.accelerator, self.data, self.form = settings, accelerator, data, form
        self.config, self.started_with = model.config, model.card_facts
        self.output_dir = Path(settings.output_dir)
        self.grid = {name: value.to(accelerator.device) for name, value in grid.items()}

        model.to(accelerator.device, memory_format=torch.channels_last)
        self.perceptual = None
        if settings.perceptual_net != "none":
            self.perceptual = PerceptualLoss(
                settings.perceptual_net, settings.perceptual_weights, normalise=settings.perceptual_normalise
            ).to(accelerator.device, memory_format=torch.channels_last)
            self.perceptual.trunk.to(form.dtype)
        self.streams = build_streams(settings, accelerator, model)
        self.objective = build_objective(
            objective,
            self.config,
            self.perceptual,
            self.streams.augmentation,
            crops=self.streams.crops,
            windows=self.streams.windows,
            exchange=self.streams.exchange,
            redraw_windows=self.streams.redraw_windows,
            label_mix=self.streams.label_mix,
            labelmix_weight=settings.labelmix_weight or 0.0,
            free_nats=settings.kl_free_nats,
            class_balance=settings.class_balance,
        )
        self.objective.judged_together = form.dense
        discriminator = self.objective.make_discriminator(torch.Generator().manual_seed(settings.seed + 1))
        if settings.pretrained_model_name_or_path:
            source = settings.pretrained_model_name_or_path
            accelerator.print(take_up(discriminator, source, self.config, settings.class_starts))
        discriminator.to(memory_format=torch.channels_last)
        self.means = build_means(settings, self.objective, data, accelerator.device)
        self.penalty = LazyR1(settings.r1_weight, settings.r1_interval)
        self.total_steps = settings.max_train_steps or settings.num_train_epochs * (
            (self.pictures or 0) // self.pictures_per_step
        )
        self.shown = ShownModel(settings, accelerator, model, data, self.objective.noise_shape())
        if settings.batch_norm_parts > 1:
            divide_batch_norm(model, settings.batch_norm_parts)
        elif accelerator.num_processes > 1 and settings.sync_batch_norm:
            synchronise_batch_norm(model, accelerator.device.type)
        # The ids of a data set are checked when it is read.
        model.trusts_labels = True
        betas = RATES[objective].betas
        self.model, self.discriminator, self.optimizer, self.discr_optimizer, self.loader = (
            accelerator.prepare(
                model,
                discriminator,
                make_optimizer(
                    settings.optimizer, model, settings.learning_rate, betas, accelerator.device.type
                ),
                make_optimizer(
                    settings.optimizer,
                    discriminator,
                    settings.discr_learning_rate,
                    betas,
                    accelerator.device.type,
                ),
                build_loader(settings, data, accelerator.device, on_device=on_device),
            )
        )
        if form.compiled:
            self.compile()
        average = {} if self.shown.average is None else {"average": self.shown.average}
        keep_own_state(accelerator, {**self.streams.parts(), **average})
        self.make_step = build_step(
            accelerator,
            form,
            (self.model, self.discriminator),
            (self.optimizer, self.discr_optimizer),
            self.objective,
            self.streams,
            self.penalty,
        )
        self.step, self.epoch, self.batch_number = 0, 0, 0
        self.pace = Throughput(accelerator.device)

    def compile(self, **options: Any) -> None:
        """Have ``torch.compile`` take networks and streams, in place, so that names stay."""
        for part in (*self._compiled_networks(), *self.streams.shared()):
            part.compile(**options)

    def _compiled_networks(self) -> list[nn.Module]:
        model = self.accelerator.unwrap_model(self.model)
        # The look-up's decoder not: how many windows differ changes with every batch.
        parts = ("encoder", "decoder") if self.form.dense else ("encoder",)
        networks = [getattr(model, part, None) for part in parts]
        networks += [self.accelerator.unwrap_model(self.discriminator), self.perceptual]
        return [network for network in networks if network is not None]

    # -- the loop --------------------------------------------------------------------------------------------

    def resume(self, choice: str) -> None:
        """Go on from a checkpoint: ``latest``, or a folder."""
        progress = load_checkpoint(self.accelerator, self.output_dir, choice)
        if progress is None:
            self.accelerator.print("there is no checkpoint yet: starting at step 0")
            return
        if not {"step", "epoch", "batch"} <= set(progress):
            raise ValueError(f"the checkpoint's progress is {progress}; it must have step, epoch and batch")
        self.step, self.epoch, self.batch_number = progress["step"], progress["epoch"], progress["batch"]
        self.accelerator.print(f"resuming from step {self.step}")

    def train(self) -> None:
        """The steps that are left, or those that fit into ``--max_train_seconds``, with logs, sample grids and
        checkpoints on the way; the last step of a run that stops early has a checkpoint."""
        settings = self.settings
        self.model.train()
        self.discriminator.train()
        self.pace.restart()
        bar = tqdm(
            total=self.total_steps,
            initial=self.step,
            disable=not self.accelerator.is_main_process,
            mininterval=2,
        )
        batches = max(0, self.total_steps - self.step) * settings.gradient_accumulation_steps
        limit = TimeLimit(settings.max_train_seconds, self.accelerator.num_processes, settings.logging_steps)
        with bar:
            for batch in islice(self._batches(), batches):
                losses = self.update(batch)
                if not self.accelerator.sync_gradients:
                    continue
                self.step += 1
                self.pace.count(self.pictures_per_step)
                bar.update()
                if self.step % settings.logging_steps == 0:
                    self._log(losses, bar)
                with self.pace.paused():
                    if self.step % settings.validation_steps == 0:
                        self.look()
                    stops = self.step < self.total_steps and limit.reached(self.step)
                    if stops or self.step % settings.checkpointing_steps == 0:
                        self._checkpoint()
                if stops:
                    break

    def _batches(self) -> Iterator[Mapping[str, Tensor]]:
        """Batches from the present place onwards, without end; keeps ``epoch`` and ``batch_number``."""
        while True:
            self.data.set_epoch(self.epoch)
            self.loader.set_epoch(self.epoch)
            skip = self.batch_number
            batches = self.accelerator.skip_first_batches(self.loader, skip) if skip else self.loader
            for batch in batches:
                self.batch_number += 1
                yield batch_of(self.data, batch)
            self.epoch, self.batch_number = self.epoch + 1, 0

    def update(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One step of both networks (:mod:`groupdnet_hub.training.step`), with the rates and weights that hold now."""
        settings, step = self.settings, self.step
        factor = learning_rate_factor(step, settings.lr_decay_start * self.total_steps, self.total_steps)
        set_rate(self.optimizer, settings.learning_rate * factor)
        set_rate(self.discr_optimizer, settings.discr_learning_rate * factor)
        weights = with_redraw_every(weights_at(settings, step), step, settings.redraw_interval)
        kind = StepKind(
            generator=step >= settings.discriminator_warmup_steps,
            penalty=self.penalty.due(step),
            weighted=weights.weighted(),
        )
        losses = self.make_step(batch, weights, kind)
        if self.accelerator.sync_gradients and kind.generator:
            self.shown.follow(self.accelerator.unwrap_model(self.model))
        return losses

    def _log(self, losses: Mapping[str, Tensor], bar: Any) -> None:
        augmentation = self.streams.augmentation
        followed = {} if augmentation is None else augmentation.report()
        values = mean_over_processes({**losses, **self.penalty.report(), **followed})
        if not all(math.isfinite(value) for value in values.values()):
            raise ValueError(f"a loss is not finite: {values}")
        pace = self.pace.report()
        shown = {name[:6]: f"{value:.2f}" for name, value in values.items()}
        bar.set_postfix(shown | {"img/s": f"{pace['images_per_second']:.1f}"})
        self.accelerator.log(
            {**values, "learning_rate": float(self.optimizer.param_groups[0]["lr"]), **pace}, step=self.step
        )

    # -- what comes out --------------------------------------------------------------------------------------

    def look(self) -> None:
        """Write a sample grid; log whether the posterior says anything, and whether the discriminator overfits."""
        if self.accelerator.is_main_process:
            shown, seed = self._generator(), self.settings.seed
            grid = sample_grid(shown, self.grid, seed=seed)
            save_picture(grid, self.output_dir / "samples" / f"{self.step:07d}.png")
            report = posterior_report(shown, self.grid, self.perceptual, seed=seed)
            if self.means is not None:
                report |= self.means(self.accelerator.unwrap_model(self.discriminator))
            self.accelerator.log(report, step=self.step)
            tqdm.write(
                f"step {self.step}: " + ", ".join(f"{key} {value:.3f}" for key, value in report.items())
            )
        self.model.train()

    def _checkpoint(self) -> None:
        shown = self._generator()
        shown.card_facts = self._facts()
        state = {"step": self.step, "epoch": self.epoch, "batch": self.batch_number}
        limit = self.settings.checkpoints_total_limit
        save_checkpoint(self.accelerator, self.output_dir, self.step, state, shown, limit)
        self.model.train()

    def save_final(self) -> None:
        """Write the model into ``OUTPUT_DIR/model``."""
        if self.accelerator.is_main_process:
            final = self._generator()
            final.card_facts = self._facts()
            final.save_pretrained(self.output_dir / "model", repo_id=self.settings.hub_model_id)
            if not self.settings.save_discriminator:  # one of an earlier run would not be this model's
                (self.output_dir / "model" / DISCRIMINATOR_FILE).unlink(missing_ok=True)
            self.accelerator.print(f"saved {self.output_dir / 'model'}")
            if self.settings.hub_model_id:
                url = final.push_to_hub(self.settings.hub_model_id, private=self.settings.hub_private or None)
                self.accelerator.print(f"uploaded to {url}")
        self.accelerator.wait_for_everyone()

    def _generator(self) -> System:
        """The model as it would be saved now."""
        shown = self.shown.at(self.step, self.accelerator.unwrap_model(self.model))
        if self.settings.save_discriminator:
            discriminator = self.accelerator.unwrap_model(self.discriminator)
            shown.discriminator_to_save = weights_to_save(discriminator, self.config)
        return shown

    def _facts(self) -> dict[str, Any]:
        """What the model card says of this run."""
        return run_facts(
            self.settings,
            self.started_with,
            used_weights(self.objective.used, weights_at(self.settings, self.step)),
            step=self.step,
            pictures=self.pictures,
            pictures_per_step=self.pictures_per_step,
        )
