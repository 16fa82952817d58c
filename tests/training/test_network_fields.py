"""The flags that shape a new GroupDNet, and that they are refused for a model that exists already."""

from __future__ import annotations

from pathlib import Path

import pytest

from groupdnet_hub import GroupDNet, GroupDNetConfig
from groupdnet_hub.baselines import SystemConfig
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.figures import write_figures
from tests.helpers.command_lines import refusal, train_settings
from tests.helpers.train_runs import train

pytest.importorskip("accelerate")
from groupdnet_hub.training.build import build_model
from groupdnet_hub.training.config import parse_train_config
from groupdnet_hub.training.network_fields import named_order

ORDER = ["face", "hair", "skin", "top-clothes", "bottom-clothes", "shoes", "socks", "background"]
SHAPE = ["--code_placement", "box", "--code_grid", "2", "--hidden_channels", "5", "--latent_channels", "3"]
SHAPE += ["--encoder_colours", "--class_order", *ORDER]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    write_figures(folder, 4, size=(32, 32))
    return folder


@pytest.fixture(scope="module")
def trained(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that the command line shaped and trained."""
    folder = tmp_path_factory.mktemp("trained")
    train(drawn, folder, *SHAPE, "--perceptual_net", "none", "--max_train_steps", "1", "--redraw_weight", "1")
    return folder / "model"


def chosen(drawn: Path, *flags: str) -> SystemConfig:
    """The configuration of the model that some flags would train."""
    settings = train_settings(drawn, "--resolution", "32", "--width", "4", *flags)
    return build_model(settings, FIGURE_LABELS)[0].config


def test_a_new_network_is_shaped(trained: Path) -> None:
    config = GroupDNet.from_pretrained(trained).config
    assert (config.code_placement, config.code_grid, config.encoder_colours) == ("box", 2, True)
    assert config.latent_channels == 3
    assert {block.hidden_channels / config.class_slots for block in config.blocks} == {5}
    assert [config.class_names[class_id] for class_id in config.class_order] == ORDER


def test_without_the_flags_it_is_the_papers(drawn: Path) -> None:
    assert chosen(drawn) == chosen(drawn, "--class_order", "ids")
    assert chosen(drawn) == GroupDNetConfig.for_labels(FIGURE_LABELS, (32, 32), 4)
    assert chosen(drawn, "--code_placement", "box").code_grid == 4  # type: ignore[union-attr]


def test_a_file_of_flags_can_hold_an_order(drawn: Path, tmp_path: Path) -> None:
    for text, order in (
        ("likeness", None),
        ("ids", ()),
        (f"[{', '.join(ORDER)}]", named_order(ORDER, FIGURE_LABELS)),
    ):
        (tmp_path / "flags.yaml").write_text(f"class_order: {text}\n")
        config = chosen(drawn, "--args_file", str(tmp_path / "flags.yaml"))
        assert isinstance(config, GroupDNetConfig)
        assert config.class_order == order if order is not None else len(config.class_order) == 8


@pytest.mark.parametrize(
    "flags",
    [
        ["--width", "48"],
        ["--resolution", "256"],
        ["--encoder_width", "8"],
        ["--groups", "4", "2", "1"],
        ["--class_order", "ids"],
        ["--class_order", *ORDER],
        ["--class_order", "likeness"],
        ["--hidden_channels", "5"],
        ["--latent_channels", "3"],
        ["--code_placement", "box"],
        ["--code_grid", "2"],
        ["--encoder_colours"],
        ["--no-encoder_colours"],
        ["--code_filling", "nearest"],
        ["--instance_edges"],
        ["--no-instance_edges"],
    ],
)
@pytest.mark.parametrize("grow", [[], ["--grow"]])
def test_a_model_that_exists_keeps_its_shape(drawn: Path, flags: list[str], grow: list[str]) -> None:
    """Before anything is loaded: there is no such model, and this file is no configuration."""
    given = ["--train_data_dir", str(drawn), *flags]
    for source, path in (("--pretrained_model_name_or_path", "absent"), ("--config", __file__)):
        if source == "--config" and grow:
            continue
        message = refusal(parse_train_config, [*given, *grow, source, path])
        assert message.startswith(f"{flags[0]} has no effect with {source}: the model keeps its own network")
        assert "leave out" in message


def test_all_flags_without_effect_are_named(drawn: Path) -> None:
    flags = ["--train_data_dir", str(drawn), "--pretrained_model_name_or_path", "absent", *SHAPE]
    message = refusal(parse_train_config, flags)
    given = "--class_order, --hidden_channels, --latent_channels, --code_placement, --code_grid, --encoder_colours"
    assert message.startswith(f"{given} have no effect")
    for flag in ("--width", "--resolution", "--hidden_channels"):
        preset = ["--train_data_dir", str(drawn), "--preset", "deepfashion", flag, "64"]
        assert f"{flag} has no effect with --preset deepfashion" in refusal(parse_train_config, preset)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--class_order", "face", "hat", "face"],
            "unknown: hat; named twice: face; missing: background, hair, skin",
        ),
        (["--class_order", *ORDER[1:]], "names each class of the data once, .* .missing: face."),
        (["--code_grid", "4"], "code_grid is 4 and code_placement 'frame'"),
        (["--model", "SPADE", "--code_placement", "box"], "SPADE cannot be configured so"),
    ],
)
def test_what_cannot_be_built_is_refused(drawn: Path, flags: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        chosen(drawn, *flags)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--hidden_channels", "0"], "--hidden_channels is 0; it must be at least 1"),
        (["--latent_channels", "0"], "--latent_channels is 0; it must be at least 1"),
        (["--code_grid", "0"], "--code_grid is 0; it must be at least 1"),
    ],
)
def test_wrong_flags_end_the_command(
    drawn: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        chosen(drawn, *flags)
    assert message in capsys.readouterr().err
