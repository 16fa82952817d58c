"""Settings of the optimisation, and of how its steps are computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from groupdnet_hub.runs.settings import (
    Settings,
    above,
    at_least,
    in_range,
    option,
    strictly_between,
    without_flag,
)


@dataclass(frozen=True, kw_only=True)
class OptimisationSettings(Settings):
    """Optimisation."""

    train_batch_size: int = option(8, "pictures per process and step", check=at_least(1))
    gradient_accumulation_steps: int = option(1, "batches per update", check=at_least(1))
    num_train_epochs: int = option(100, "passes over the data", check=at_least(1))
    max_train_steps: int | None = option(None, "steps, instead of --num_train_epochs", check=at_least(1))
    max_train_seconds: float | None = option(
        None,
        "stop after the step that ends this many seconds after training began, with a checkpoint from which "
        "--resume_from_checkpoint latest resumes; the steps of the run, and so its learning rates, stay as they are",
        check=above(0),
        on_resume="free",
    )
    on_nan: Literal["stop", "skip"] = option(
        "stop",
        "what to do at a step whose loss or gradient is not finite: stop, or skip its update, until too many in a row "
        "are skipped. Such an update is never made in either case",
        on_resume="free",
    )
    # Plain SGD is for checks: Adam makes whole steps of rounding errors.
    optimizer: Literal["adam", "sgd"] = without_flag("adam")
    learning_rate: float | None = option(
        None, "rate of encoder and decoder; by default the system's (1e-4)", check=at_least(0)
    )
    discr_learning_rate: float | None = option(
        None, "rate of the discriminator; by default the system's (4e-4)", check=at_least(0)
    )
    lr_scheduler: Literal["constant", "linear", "cosine"] = option(
        "linear", "how both rates fall to 0 from --lr_decay_start on; with constant they do not"
    )
    lr_warmup_steps: int = option(
        0, "first steps, during which both rates rise linearly from 0", check=at_least(0)
    )
    lr_decay_start: float | None = option(
        None,
        "fraction of the steps after which both rates fall; by default 0.6 with --lr_scheduler linear, as in the "
        "paper, and 0, right after the warm-up, with cosine",
        check=in_range(0, 1, "it is a fraction of the steps, from 0 to 1"),
    )
    max_grad_norm: float | None = option(
        None,
        "length that the gradient of each network, all of its weights together, is cut to where it is longer; by "
        "default it is left as it is",
        check=above(0),
    )
    sync_batch_norm: bool | None = option(
        None, "batch statistics of all processes together; by default as --model has it"
    )
    batch_norm_parts: int | None = option(
        None,
        "parts of a process's batch that are normalised on their own; by default 1, and where batch norms are not "
        "synchronised as many as make 4 with the number of processes, the paper's devices",
        check=at_least(1),
    )
    use_ema: bool = option(False, "keep an exponential moving average of the weights, and save that one")
    ema_decay: float = option(0.999, "decay of that average", check=strictly_between(0, 1))
    seed: int = option(0, "fixes weights, data order, flips, shifts and noise")

    def check(self) -> None:
        """Refuse a warm-up without end, parts that a batch does not have, and what has no effect."""
        super().check()
        if self.lr_scheduler == "constant":
            self.refuse_given(("lr_decay_start",), "with --lr_scheduler constant")
        if self.max_train_steps is not None and self.lr_warmup_steps >= self.max_train_steps:
            raise ValueError(
                f"--lr_warmup_steps {self.lr_warmup_steps} leaves none of the {self.max_train_steps} steps of "
                "--max_train_steps at the full rate: lower it"
            )
        if not self.use_ema:
            self.refuse_given(("ema_decay",), "without --use_ema")
        if self.batch_norm_parts and self.train_batch_size % self.batch_norm_parts:
            raise ValueError(
                f"--batch_norm_parts {self.batch_norm_parts} does not divide --train_batch_size {self.train_batch_size}"
            )


@dataclass(frozen=True, kw_only=True)
class ComputationSettings(Settings):
    """How steps are computed."""

    mixed_precision: Literal["no", "bf16", "fp16"] = option("no", "autocast precision; bf16 is the safe one")
    allow_tf32: bool = option(False, "TF32 matrix products on CUDA")
    compile: bool | None = option(
        None,
        "compile all networks by torch.compile; by default on CUDA, where a compiler is found. The first step takes "
        "minutes",
        on_resume="free",
    )
    cuda_graphs: bool | None = option(
        None,
        "record whole steps as CUDA graphs, which cost the host nothing; by default on CUDA where one process trains",
        on_resume="free",
    )
    plain_step: bool = option(
        False,
        "normalise weights in every forward, as the paper's networks do, and take no shortcut that needs to know the "
        "whole step; the result is the same up to rounding",
        on_resume="free",
    )
    gradient_checkpointing: bool = option(
        False,
        "keep only what the blocks of encoder and decoder read, and compute the rest once more for their gradients: "
        "less memory, slower, the same weights up to rounding",
        on_resume="free",
    )
    deterministic: bool = option(
        False,
        "only algorithms on CUDA that give the same bits every time, so that a resumed run is bit-identical; slower",
        on_resume="free",
    )
