"""What a run of train.py is made of, and how it is built: the model, the data, the losses and the optimisers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from accelerate import Accelerator

from groupdnet_hub import GroupDNet, LabelSet, StreamedImages
from groupdnet_hub.baselines import System
from groupdnet_hub.training.build import (
    build_model,
    build_objective,
    build_parts,
    check_perceptual_download,
    enable_gradient_checkpointing,
    objective_of,
    on_device,
    with_asked_prior,
)
from groupdnet_hub.training.config import ResolvedTrainConfig, TrainConfig
from groupdnet_hub.training.config.rates import RATES
from groupdnet_hub.training.data.batches import Batches, build_loader
from groupdnet_hub.training.data.checked import with_checked_data
from groupdnet_hub.training.data.device_data import keep_pictures
from groupdnet_hub.training.data.pictures import (
    Data,
    build_data,
    given_pairs,
    grid_batch,
    ignored_instances,
)
from groupdnet_hub.training.data.stream_batches import StreamBatches
from groupdnet_hub.training.distributed import prepare_batch_norms
from groupdnet_hub.training.ema import InferenceModel
from groupdnet_hub.training.fast.build_step import build_step
from groupdnet_hub.training.fast.step_form import StepForm
from groupdnet_hub.training.finite import FiniteGuard
from groupdnet_hub.training.gradient_clip import GradientClip
from groupdnet_hub.training.objectives.discriminator_means import build_means
from groupdnet_hub.training.objectives.gradient_penalty import LazyR1
from groupdnet_hub.training.random_streams import build_streams
from groupdnet_hub.training.reports.card_facts import CardFacts
from groupdnet_hub.training.reports.preview import Preview
from groupdnet_hub.training.reports.quality import Quality, build_quality
from groupdnet_hub.training.reports.trackers import Trackers
from groupdnet_hub.training.resuming import run_conditions
from groupdnet_hub.training.schedules import RunLength, make_optimizer
from groupdnet_hub.training.state.conditions import Comparison, Conditions
from groupdnet_hub.training.state.discriminator_state import take_up
from groupdnet_hub.training.state.extra_state import keep_extra_state
from groupdnet_hub.training.step import Learner, MakeStep


@dataclass(frozen=True)
class Run:
    """What the loop works with; all of it is built by :func:`build_run`.

    Attributes:
        settings: complete settings.
        learner: networks, optimisers, losses and random numbers.
        form: how its steps are computed.
        make_step: updates the networks on a batch.
        guard: leaves out updates that are not finite.
        inference: the model as it is previewed and saved.
        batches: the training pictures, and the progress of the run.
        length: how many steps there are.
        preview: writes sample grids.
        quality: measures the model on validation pictures.
        trackers: what numbers, pictures and tables of the run are reported to.
        facts: what the model card says of the run.
        conditions: what its checkpoints record of it.
    """

    settings: ResolvedTrainConfig
    learner: Learner
    form: StepForm
    make_step: MakeStep
    guard: FiniteGuard
    inference: InferenceModel
    batches: Batches
    length: RunLength
    preview: Preview
    quality: Quality
    trackers: Trackers
    facts: CardFacts
    conditions: Conditions


def build_run(
    settings: TrainConfig, accelerator: Accelerator, form: StepForm, labels: LabelSet, comparison: Comparison
) -> Run:
    """Return what the loop works with; a checkpoint of another network or other data is refused on the way."""
    check_perceptual_download(settings.perceptual_net, settings.perceptual_weights)

    # The model: new, or one to continue from, possibly for other classes.
    given = given_pairs(settings, labels)
    settings = with_checked_data(settings, given, labels, accelerator)
    model, carried_over = build_model(settings, labels)
    if carried_over is not None:
        accelerator.print(carried_over.table())
    model = with_asked_prior(settings, model)
    config, processes = model.config, accelerator.num_processes
    if settings.redraw_weight and not isinstance(model, GroupDNet):
        raise ValueError(f"--redraw_weight has no effect: a {config.system_name} has no per-class codes")
    resolved = settings.resolved(objective_of(config), processes)
    comparison.check_network(config.to_dict())

    # The data: pictures with label maps, read once where there is room for them.
    data = build_data(settings, labels, config.image_size, instances=config.instance_edges, given=given)
    if (note := ignored_instances(data)) is not None:
        accelerator.print(note)
    length = RunLength.of_run(resolved, data, processes)
    conditions = run_conditions(resolved, config, data, length, processes)
    comparison.check_data(conditions.data)
    quality = build_quality(resolved, data, model, length.steps, accelerator)
    place = keep_pictures(settings, data, accelerator)
    grid = {name: value.to(accelerator.device) for name, value in grid_batch(settings, data).items()}

    # The losses, the discriminator, the optimisers, and the step that they make together.
    before = model.card_facts
    learner, inference = build_learner(resolved, accelerator, model, data, form)
    objective = learner.objective
    means = build_means(resolved, objective, data, accelerator.device)
    batches = (
        StreamBatches(resolved, data, accelerator)
        if isinstance(data, StreamedImages)
        else Batches(
            accelerator, build_loader(resolved, data, accelerator.device, on_device=place == "device"), data
        )
    )
    samples = settings.output_path / "samples"
    return Run(
        settings=resolved,
        learner=learner,
        form=form,
        make_step=build_step(learner, form),
        guard=FiniteGuard(learner, skips=settings.on_nan == "skip"),
        inference=inference,
        batches=batches,
        length=length,
        preview=Preview(samples, grid, objective.parts.perceptual, means, resolved.seed),
        quality=quality,
        trackers=Trackers(accelerator),
        facts=CardFacts(resolved, length, objective.used, before),
        conditions=conditions,
    )


def build_learner(
    settings: ResolvedTrainConfig, accelerator: Accelerator, model: System, data: Data, form: StepForm
) -> tuple[Learner, InferenceModel]:
    """Return what steps read and update, and the model as it is previewed and saved.

    The accelerator saves and loads all of it with its checkpoints from now on.
    """
    config, device = model.config, accelerator.device
    on_device(model, device)
    if settings.gradient_checkpointing:
        enable_gradient_checkpointing(model)
    streams = build_streams(settings, accelerator, model)
    name = objective_of(config)
    objective = build_objective(name, config, build_parts(settings, streams, form, device))

    discriminator = objective.make_discriminator(torch.Generator().manual_seed(settings.seed + 1))
    if settings.pretrained_model_name_or_path:
        source = settings.pretrained_model_name_or_path
        accelerator.print(take_up(discriminator, source, config, settings.class_starts, settings.hub_token))
    discriminator.to(memory_format=torch.channels_last)

    inference = InferenceModel(settings, accelerator, model, data, objective.noise_shape())
    prepare_batch_norms(model, settings, accelerator)
    # The ids of a data set are checked when it is read.
    model.trusts_labels = True

    rates, betas = (settings.learning_rate, settings.discr_learning_rate), RATES[name].betas
    optimizers = [
        make_optimizer(settings.optimizer, network, rate, betas, device.type)
        for network, rate in zip((model, discriminator), rates, strict=True)
    ]
    prepared = accelerator.prepare(model, discriminator, *optimizers)
    average = {} if inference.average is None else {"average": inference.average}
    keep_extra_state(accelerator, {**streams.parts(), **average})
    learner = Learner(
        accelerator=accelerator,
        model=prepared[0],
        discriminator=prepared[1],
        optimizer=prepared[2],
        discr_optimizer=prepared[3],
        objective=objective,
        streams=streams,
        penalty=LazyR1(settings.r1_weight, settings.r1_interval),
        clip=GradientClip(accelerator, settings.max_grad_norm),
    )
    return learner, inference
