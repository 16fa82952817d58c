"""The recipes of train/configs: valid, explained line by line, and what the paper and the documentation say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from groupdnet_hub.training.config import TrainConfig, parse_train_config

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").is_file())
RECIPES = sorted((ROOT / "train" / "configs").glob("*.yaml"))


def recipe(name: str, data: Path) -> TrainConfig:
    file = ROOT / "train" / "configs" / f"{name}.yaml"
    return parse_train_config(["--args_file", str(file), "--train_data_dir", str(data)])


def flags(data: Path, text: str) -> TrainConfig:
    return parse_train_config(["--train_data_dir", str(data), *text.split()])


def test_there_is_one_for_each_data_set() -> None:
    assert [path.stem for path in RECIPES] == ["ade20k", "ccp", "cityscapes", "deepfashion", "people16"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_names_its_data_and_is_valid(path: Path, tmp_path: Path) -> None:
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    folders = values["train_data_dir"]
    folders = [folders] if isinstance(folders, str) else folders
    assert all(not Path(folder).is_absolute() for folder in folders)
    settings = recipe(path.stem, tmp_path)
    assert settings.output_dir == values["output_dir"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_line_is_explained(path: Path) -> None:
    explained = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            explained = False
        elif line.startswith("#"):
            explained = True
        else:
            assert explained, f"{path.name}:{number} stands below no comment"


@pytest.mark.parametrize(
    ("name", "batch", "epochs", "decay"),
    [("deepfashion", 32, 100, 0.6), ("cityscapes", 32, 200, 0.5), ("ade20k", 16, 200, 0.5)],
)
def test_the_papers_recipes_are_section_4_1(
    tmp_path: Path, name: str, batch: int, epochs: int, decay: float
) -> None:
    given = f"--preset {name} --random_flip --train_batch_size {batch} --num_train_epochs {epochs}"
    given += f" --lr_decay_start {decay} --output_dir runs/{name} --prior_rank 0"
    settings = recipe(name, tmp_path).resolved("hinge", 1)
    assert settings == flags(tmp_path, given).resolved("hinge", 1), "the rest are the defaults"
    assert (settings.learning_rate, settings.discr_learning_rate) == (1e-4, 4e-4)
    weights = settings.adversarial_weight, settings.feature_matching_weight, settings.perceptual_weight
    assert (*weights, settings.kl_weight) == (1, 10, 10, 0.4)
    assert settings.sync_batch_norm


def test_ccp_is_the_readmes_command(tmp_path: Path) -> None:
    given = (
        "--resolution 128 --width 40 --random_flip --use_ema --kl_weight_start 0.004 --kl_weight 0.01 "
        "--kl_warmup_steps 3000 --prior_rank 4 --output_dir runs/ccp8"
    )
    assert recipe("ccp", tmp_path) == flags(tmp_path, given)


def test_people16_is_what_the_bundled_model_was_trained_with(tmp_path: Path) -> None:
    given = """--resolution 256 128 --width 48
    --class_order face glasses hair hat skin legwear shoes bag top scarf outerwear dress skirt belt trousers background
    --hidden_channels 4 --code_placement box --encoder_colours --code_filling nearest --train_batch_size 8 --random_flip
    --random_scale 0.1 --random_turn 4 --simplified_maps 0.2 --balanced_sampling 0.5 --recoloured_share 0.3
    --recoloured_classes top outerwear dress skirt trousers bag shoes --learning_rate 2e-4 --discr_learning_rate 4e-4
    --use_ema --ema_decay 0.998 --perceptual_net vgg16 --perceptual_crop 96 --diffaugment --class_balance 1
    --l1_weight 20 --adversarial_weight 0.5 --kl_weight 0.0005 --kl_free_nats 6 --redraw_weight 50 --redraw_window 1
    --redraw_memory 64 --redraw_interval 2 --prior_codes 512 --prior_ties face+skin --discriminator_norm none
    --discriminator_width 32
    --r1_weight 10 --feature_matching_weight 40 --discriminator_crop 64 --save_discriminator --max_train_steps 20000
    --lr_decay_start 0.7 --seed 16 --output_dir runs/people16"""
    assert recipe("people16", tmp_path) == flags(tmp_path, given)
