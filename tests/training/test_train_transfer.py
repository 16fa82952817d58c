"""Fine-tuning on other labels, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from groupdnet_hub import GroupDNet, GroupDNetConfig, LabelSet
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.figures import write_figures
from tests.helpers.script_runs import run_script
from tests.helpers.train_runs import SCRIPT, train_flags

pytest.importorskip("accelerate")
from groupdnet_hub.training.config import parse_train_config
from tests.helpers.command_lines import refusal, train_settings


@pytest.fixture(scope="module")
def with_bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn people whose label set has a ninth class."""
    folder = tmp_path_factory.mktemp("bags")
    write_figures(folder, 4, size=(32, 32))
    labels = LabelSet((*FIGURE_LABELS.names, "bag"), (*FIGURE_LABELS.palette, (1, 2, 3)))
    labels.to_file(folder / "classes.json")
    return folder


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the eight classes."""
    folder = tmp_path_factory.mktemp("pretrained") / "model"
    GroupDNet(GroupDNetConfig.for_labels(FIGURE_LABELS, (32, 32), 4)).save_pretrained(folder)
    return folder


def test_a_ninth_class_is_trained(with_bags: Path, pretrained: Path, tmp_path: Path) -> None:
    """With a rate of zero the carried weights come out as they went in; the table says what they are."""
    flags = ["--pretrained_model_name_or_path", str(pretrained), "--init_class", "bag=top-clothes"]
    flags += ["--perceptual_net", "none", "--max_train_steps", "2", "--learning_rate", "0"]
    done = run_script(SCRIPT, train_flags(with_bags, tmp_path, *flags))
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["hair", "itself", "all", "layers"] in lines
    assert ["bag", "top-clothes", "all", "layers"] in lines
    before = load_file(pretrained / "model.safetensors")["encoder.mean.weight"]
    after = load_file(tmp_path / "model" / "model.safetensors")["encoder.mean.weight"]
    assert after[: len(before)].equal(before)
    assert after[len(before) :].equal(before[4 * 8 : 5 * 8])
    assert json.loads((tmp_path / "model" / "config.json").read_text())["class_names"][-1] == "bag"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["bag=top-cloths"], "did you mean 'top-clothes'"),
        (["hair=face"], "keeps its own weights"),
        (["glove=hair"], "no class 'glove'"),
    ],
)
def test_wrong_names_end_with_one_line(
    with_bags: Path, pretrained: Path, tmp_path: Path, flags: list[str], message: str
) -> None:
    from groupdnet_hub.training.build import build_model
    from groupdnet_hub.training.data.pictures import build_labels

    start = "--pretrained_model_name_or_path", str(pretrained)
    settings = train_settings(with_bags, *start, "--init_class", *flags)
    with pytest.raises(ValueError, match=message) as caught:
        build_model(settings, build_labels(settings))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        (["bag"], "NEW=OLD"),
        (["=hair"], "NEW=OLD"),
        (["bag="], "NEW=OLD"),
        (["bag=hair", "bag=face"], "two starts"),
    ],
)
def test_malformed_starts_are_refused_before_anything_is_loaded(starts: list[str], message: str) -> None:
    flags = ["--train_data_dir", ".", "--pretrained_model_name_or_path", "absent", "--init_class", *starts]
    assert message in refusal(parse_train_config, flags)
    alone = ["--train_data_dir", ".", "--init_class", "bag=hair"]
    assert "--pretrained_model_name_or_path" in refusal(parse_train_config, alone)


@pytest.mark.parametrize(
    "written", ["init_class: [bag=top-clothes, hat = hair]", "init_class: bag=top-clothes"]
)
def test_starts_from_a_file(tmp_path: Path, written: str) -> None:
    file = tmp_path / "flags.yaml"
    file.write_text(f"train_data_dir: {tmp_path}\npretrained_model_name_or_path: some/model\n{written}\n")
    starts = parse_train_config(["--args_file", str(file)]).class_starts
    assert starts == {"bag": "top-clothes", **({"hat": "hair"} if "hat" in written else {})}
