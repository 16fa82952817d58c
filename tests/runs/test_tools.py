"""What the smaller tools of train/ refuse, which would else give a poor or a wrong answer in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from groupdnet_hub import GroupDNet, GroupDNetConfig
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.figures import write_figures
from tests.helpers.command_lines import refusal
from tests.helpers.script_runs import run_script
from tests.helpers.shared_data import ROOT

pytest.importorskip("accelerate")
pytest.importorskip("transformers")
from train import compare_models
from train.tools import appearance_report, pack_for_gpu, parser_scores, training_cost


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for split in ("train", "validation"):
        write_figures(tmp_path / "data", 4, size=(32, 32), split=split)
    return tmp_path / "data"


def small_model() -> GroupDNet:
    return GroupDNet(GroupDNetConfig.for_labels(FIGURE_LABELS, (32, 32), 4))


def test_a_prior_is_not_fitted_to_data_of_other_classes(data: Path, tmp_path: Path) -> None:
    small_model().save_pretrained(tmp_path / "model")
    names = GroupDNet.from_pretrained(tmp_path / "model").labels.names
    classes = data / "classes.json"
    classes.write_text(classes.read_text().replace(f'"{names[1]}"', '"road"'))
    flags = ["--model", str(tmp_path / "model"), "--data_dir", str(data), "--prior_codes", "2"]
    script = ROOT / "train" / "tools" / "fit_prior.py"
    done = run_script(script, [*flags, "--output_dir", str(tmp_path / "fitted")])
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert line.startswith("fit_prior.py: the model's classes are background, ")
    assert "those of train are background, road, " in line
    assert not (tmp_path / "fitted").exists()


def test_a_report_of_nothing_is_refused(data: Path, tmp_path: Path) -> None:
    flags = ["--model", "user/model", "--data_dir", str(data)]
    assert "--max_pictures is 0" in refusal(appearance_report.main, [*flags, "--max_pictures", "0"])
    assert "--update_card writes into a folder" in refusal(appearance_report.main, [*flags, "--update_card"])
    model = small_model()
    item = {"image": torch.zeros(3, 32, 32), "label": torch.zeros(32, 32, dtype=torch.int64)}
    with pytest.raises(ValueError, match="none of the pictures shows "):
        appearance_report.reroll_locality(model, [item], model.labels.names[3])
    model.save_pretrained(tmp_path / "model")
    flags = ["--model", str(tmp_path / "model"), "--data_dir", str(data), "--reroll_class", "kite"]
    with pytest.raises(ValueError, match="kite"):
        appearance_report.main(flags)


def test_folders_of_one_name_would_share_a_column(data: Path, tmp_path: Path) -> None:
    write_figures(tmp_path / "other" / "data", 4, size=(32, 32), split="validation")
    flags = ["--parser", "p", "--data_dir", str(data), str(tmp_path / "other" / "data")]
    assert "names two folders data" in refusal(parser_scores.main, flags)


def test_flags_for_evaluate_are_checked_before_sheets_are_drawn(data: Path, tmp_path: Path) -> None:
    flags = ["--models", "a=absent", "--data_dir", str(data), "--output_dir", str(tmp_path / "out")]
    assert "unrecognized arguments: --metric_s" in refusal(compare_models.main, [*flags, "--metric_s", "x"])
    message = refusal(compare_models.main, [*flags, "--sheets_only", "--metrics", "params"])
    assert message.startswith("--metrics is no flag of sheets")
    assert not (tmp_path / "out").exists()


def test_a_kit_takes_only_flags_that_training_has(data: Path, tmp_path: Path) -> None:
    flags = ["--to", str(tmp_path / "kit"), "--train_data_dir", str(data)]
    (tmp_path / "flags.yaml").write_text("learning_rat: 1\n")
    message = refusal(pack_for_gpu.main, [*flags, "--args_file", str(tmp_path / "flags.yaml")])
    assert "holds flags that do not exist: learning_rat" in message
    message = refusal(pack_for_gpu.main, [*flags, "--jpeg_quality", "80"])
    assert message == "--jpeg_quality has no effect with --pictures keep: leave it out"


def test_costs_are_numbers() -> None:
    for value in ("nan", "inf", "-1"):
        assert "it must be above 0" in refusal(training_cost.main, [f"--price={value}"])
