"""Command line of train.py, checked before anything is loaded."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groupdnet_hub import PRESETS
from groupdnet_hub.baselines import SYSTEMS
from groupdnet_hub.training.argument_checks import find_problem
from groupdnet_hub.training.discriminator_arguments import add_discriminator_flags
from groupdnet_hub.training.network_arguments import add_network_arguments, plain_order


def build_parser() -> argparse.ArgumentParser:
    """The flags, by the names that users of Hugging Face's training examples know."""
    parser = argparse.ArgumentParser(
        prog="train.py",
        description="Train or fine-tune a GroupDNet, or a system that it is compared with, on label maps.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument

    def flag(name: str, text: str) -> None:
        add(name, action=argparse.BooleanOptionalAction, default=False, help=text)

    def either(name: str, text: str) -> None:
        add(name, action=argparse.BooleanOptionalAction, default=None, help=text)

    add("--args_file", help="YAML or JSON file of these flags; the command line wins over it")

    add(
        "--train_data_dir",
        nargs="+",
        help="folder with train/ (and validation/): images/, labels/, metadata.jsonl, classes.json; or several of the "
        "same classes, the first with the validation/ that is looked at",
    )
    add("--dataset_name", help="Hugging Face data set id, or 'imagefolder' together with --train_data_dir")
    flag(
        "--streaming", "read --dataset_name as it is downloaded, without keeping it; needs --max_train_steps"
    )
    add("--classes", help="classes.json of the label set; by default the one in --train_data_dir")
    add("--image_column", default="image", help="picture column of --dataset_name")
    add("--label_column", default="label", help="label map column of --dataset_name")

    add(
        "--model",
        choices=SYSTEMS,
        help="system of the paper's Tables 1 to 3, for a new model; by default GroupDNet",
    )
    add("--preset", choices=PRESETS, help="that system at full width, for the labels of the paper's Table 4")
    add("--config", help="config.json of a system")
    add("--pretrained_model_name_or_path", help="model to go on from: a folder or a Hub id")
    flag("--grow", "double that model's height and width, with one more block at the decoder's end")
    add(
        "--init_class",
        nargs="+",
        metavar="NEW=OLD",
        help="classes that the pretrained model lacks, each with the class of it that they start from; "
        "without one they start fresh",
    )
    add(
        "--width",
        type=int,
        default=48,
        help="channels of the decoder's last block, for a new model; another system than GroupDNet gets the width "
        "that goes with it, so that their parameters stand to each other as in Table 1",
    )
    add("--encoder_width", type=int, help="channels of the encoder's first convolution, for a new model")
    add(
        "--groups",
        type=int,
        nargs="+",
        help="group count of each block of the decoder, for a new GroupDNet; by default they fall as in Table 4",
    )
    add_network_arguments(parser)
    add(
        "--resolution",
        type=int,
        nargs="+",
        default=[256],
        help="SIDE, or HEIGHT WIDTH, of the pictures, for a new model",
    )
    flag("--random_flip", "mirror half of the pictures")
    add(
        "--random_shift",
        type=float,
        default=0.0,
        help="shift pictures by up to this share of their sides, away from edges that show one class alone; for data "
        "whose pictures are all framed alike",
    )

    add(
        "--random_scale",
        type=float,
        default=0.0,
        help="scale pictures by up to this share, up or down; edges that show several classes do not go on",
    )
    add("--random_turn", type=float, default=0.0, help="turn pictures by up to this many degrees either way")
    add(
        "--simplified_maps",
        type=float,
        default=0.0,
        help="share of the pictures whose label map is simplified as if it were painted by hand, so that painted maps "
        "are drawn well",
    )
    add(
        "--balanced_sampling",
        type=float,
        default=0.0,
        help="draw pictures that show rare classes more often: from 0, all alike, to 1, by the inverse of the share of "
        "pictures that show a picture's rarest class, 10 times at most",
    )
    add(
        "--recoloured_classes",
        nargs="+",
        help="names of classes, such as clothes, whose hues are turned at random in what is trained on, so that "
        "rare colours are learned too",
    )
    add(
        "--recoloured_share",
        type=float,
        default=0.5,
        help="share of the pictures in which each of these classes is recoloured",
    )

    add("--output_dir", default="runs/groupdnet", help="where checkpoints, samples and the final model go")
    add("--train_batch_size", type=int, default=8, help="pictures per process and step")
    add("--gradient_accumulation_steps", type=int, default=1, help="batches per update")
    add("--num_train_epochs", type=int, default=100, help="passes over the data")
    add("--max_train_steps", type=int, help="steps, instead of --num_train_epochs")
    add(
        "--max_train_seconds",
        type=float,
        help="stop after the step that ends this many seconds after training began, with a checkpoint from which "
        "--resume_from_checkpoint latest resumes; the steps of the run, and so its learning rates, stay as they are",
    )
    add(
        "--optimizer",
        choices=("adam", "sgd"),
        default="adam",
        help="adam (section 4.1), or plain sgd for checks",
    )
    add("--learning_rate", type=float, help="rate of encoder and decoder; by default the system's (1e-4)")
    add(
        "--discr_learning_rate",
        type=float,
        help="rate of the discriminator; by default the system's (4e-4)",
    )
    add(
        "--sync_batch_norm",
        action=argparse.BooleanOptionalAction,
        help="batch statistics of all processes together; by default as --model has it",
    )
    add(
        "--batch_norm_parts",
        type=int,
        help="parts of a process's batch that are normalised on their own; by default 1, and where batch norms are not "
        "synchronised as many as make 4 with the number of processes, the paper's devices",
    )
    add(
        "--lr_decay_start",
        type=float,
        default=0.6,
        help="share of the steps after which both rates fall linearly to 0",
    )
    add(
        "--mixed_precision",
        choices=("no", "bf16", "fp16"),
        default="no",
        help="autocast precision; bf16 is the safe one",
    )
    flag("--allow_tf32", "TF32 matrix products on CUDA")
    flag("--use_ema", "keep an exponential moving average of the weights, and save that one")
    add("--ema_decay", type=float, default=0.999, help="decay of that average")
    add("--dataloader_num_workers", type=int, default=0, help="processes that read pictures")
    add(
        "--cache_data",
        choices=("device", "memory", "none"),
        help="where decoded pictures are kept: on the training device, which then moves them too, in the host's "
        "memory, or nowhere: files are read again; by default on a GPU with four times as much memory free, else in "
        "memory up to --cache_gb, else nowhere; batches are the same",
    )
    add(
        "--cache_gb",
        type=float,
        help="GiB of the host's memory that pictures may take, in each training process; by default 4",
    )
    either(
        "--compile",
        "compile all networks by torch.compile; by default on CUDA, where a compiler is found. The first step takes "
        "minutes",
    )
    either(
        "--cuda_graphs",
        "record whole steps as CUDA graphs, which cost the host nothing; by default on CUDA where one process trains",
    )
    flag(
        "--plain_step",
        "normalise weights in every forward, as the paper's networks do, and take no shortcut that needs to know the "
        "whole step; the result is the same up to rounding",
    )
    flag(
        "--deterministic",
        "only algorithms on CUDA that give the same bits every time, so that a resumed run is bit-identical; slower",
    )
    add("--seed", type=int, default=0, help="fixes weights, data order, flips, shifts and noise")

    add(
        "--perceptual_net",
        choices=("vgg19", "vgg16", "none"),
        default="vgg19",
        help="net of the perceptual loss",
    )
    add(
        "--perceptual_weights",
        help="safetensors file of that net's weights; by default torchvision downloads them",
    )
    flag(
        "--perceptual_normalise",
        "give that net pictures normalised as it was trained; the paper's code does not",
    )
    add(
        "--perceptual_crop",
        type=int,
        help="side of the window that net sees of each picture, around a random class, small ones enlarged; by default "
        "the whole picture",
    )
    add("--adversarial_weight", type=float, default=1.0, help="weight of the hinge loss")
    add(
        "--feature_matching_weight",
        type=float,
        help="weight of feature matching; by default 10, and 0 with --discriminator segmentation, whose paper matches "
        "none: with a weight the features of its decoder are matched",
    )
    add(
        "--class_balance",
        type=float,
        default=0.0,
        help="how much more places of small classes count in the adversarial loss, feature matching and the distance "
        "to the picture: from 0, by area as in the paper, to 1, every class of a picture alike; --discriminator "
        "segmentation balances all but its loss on fake pixels by itself",
    )
    add("--perceptual_weight", type=float, default=10.0, help="weight of the perceptual loss")
    add(
        "--l1_weight",
        type=float,
        help="weight of the distance to the picture; by default the system's (10 for BicycleGAN and DSCGAN, else 0)",
    )
    add("--latent_weight", type=float, default=0.5, help="weight of BicycleGAN's distance to the random code")
    add("--diversity_weight", type=float, default=8.0, help="weight of DSCGAN's regulariser")
    add(
        "--redraw_weight",
        type=float,
        default=0.0,
        help="weight of what changes outside a class when its code is exchanged with another picture's; 0 is the "
        "paper's: no such loss",
    )
    add(
        "--redraw_memory",
        type=int,
        help="take those codes from a memory of this many pictures of each class, rare classes more often; by default "
        "from the picture before in the batch",
    )
    add(
        "--redraw_interval",
        type=int,
        default=1,
        help="measure that loss only at every N-th step, where it counts N times",
    )
    add(
        "--redraw_window",
        type=float,
        help="share of height and width, up to 1, of the window of each picture that is drawn again for that loss, any "
        "place as likely: the mean over windows is the loss of whole pictures, at a third of its cost; by default 0.5, "
        "or 1 where the norms are not of whole batches or the pictures are small",
    )
    add(
        "--kl_weight",
        type=float,
        help="weight of the KL divergence per picture; by default the system's (0.4: the paper's 0.05 x 8 pictures)",
    )
    add(
        "--kl_free_nats",
        type=float,
        default=0.0,
        help="KL divergence that the codes of each class may have at no cost (free bits); 0 is the paper's",
    )
    add("--kl_weight_start", type=float, help="weight of the KL divergence at the first step; rises linearly")
    add("--kl_warmup_steps", type=int, default=0, help="steps over which the KL weight rises to --kl_weight")

    add(
        "--prior_rank",
        type=int,
        help="main directions of a Gaussian prior that is fitted to each class's codes; 0 is the paper's N(0, 1); by "
        "default the model's prior stays what it is",
    )
    add(
        "--prior_codes",
        type=int,
        help="instead, pictures of each class whose codes are kept, around which new ones are drawn",
    )
    add_discriminator_flags(parser, flag)
    add(
        "--prior_ties",
        nargs="+",
        metavar="CLASS+CLASS",
        help="with --prior_codes, classes whose new codes come from one picture, such as face+skin; by default the "
        "model's own",
    )
    add("--checkpointing_steps", type=int, default=500, help="steps between checkpoints")
    add("--checkpoints_total_limit", type=int, help="keep only so many checkpoints")
    add("--resume_from_checkpoint", help="'latest', or the path of a checkpoint folder")
    add("--validation_steps", type=int, default=500, help="steps between sample grids")
    add(
        "--report_to",
        default="tensorboard",
        help="tracker(s) known to accelerate, comma-separated, or 'none'",
    )
    flag("--push_to_hub", "upload the final model")
    add("--hub_model_id", help="its name on the Hub, user/name")
    flag("--hub_private", "make that repository private")
    add("--logging_steps", type=int, default=20, help="steps between logged losses")
    return parser


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Flags from the command line and ``--args_file``; wrong combinations end with a message and exit status 2."""
    parser = build_parser()
    first, _ = parser.parse_known_args(argv)
    if first.args_file:
        try:
            values = _read_args_file(Path(first.args_file))
        except ValueError as error:
            parser.error(str(error))
        unknown = sorted(set(values) - set(vars(first)))
        if unknown:
            parser.error(f"{first.args_file} holds flags that do not exist: {', '.join(unknown)}")
        if isinstance(values.get("train_data_dir"), str):
            values["train_data_dir"] = [values["train_data_dir"]]
        parser.set_defaults(**values)
    args = parser.parse_args(argv)
    args.class_order = plain_order(args.class_order)
    problem = find_problem(args)
    if problem:
        parser.error(problem)
    if not (args.model or args.config or args.pretrained_model_name_or_path):
        args.model = "GroupDNet"
    args.resolution = tuple(args.resolution) if len(args.resolution) == 2 else (args.resolution[0],) * 2
    return args


def _read_args_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    text = path.read_text(encoding="utf-8")
    try:
        if path.suffix == ".json":
            values = json.loads(text)
        else:
            import yaml

            values = yaml.safe_load(text)
    except Exception as error:  # two libraries' many parse errors, all told the same way
        raise ValueError(f"{path} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold one object of flags")
    return values
