"""The model as it is shown: measured on pictures as they are, whatever is drawn in training."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from groupdnet_hub import GroupDNet, GroupDNetConfig
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.figures import write_figures

pytest.importorskip("accelerate")
from groupdnet_hub.training.config import ResolvedTrainConfig
from groupdnet_hub.training.data.pictures import build_data
from groupdnet_hub.training.ema import InferenceModel
from tests.helpers.command_lines import train_settings

ALONE = SimpleNamespace(num_processes=1, device=torch.device("cpu"), autocast=nullcontext)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    write_figures(folder, 12, size=(32, 32))
    return folder


def resolved(drawn: Path, *flags: str) -> ResolvedTrainConfig:
    return train_settings(drawn, "--train_batch_size", "4", *flags).resolved("hinge", 1)


def inference_model(settings: ResolvedTrainConfig, model: GroupDNet) -> InferenceModel:
    data = build_data(settings, FIGURE_LABELS, model.config.image_size)
    return InferenceModel(settings, ALONE, model, data, model.config.code_shape)


def running_statistics(model: GroupDNet) -> Tensor:
    found = [value for name, value in model.state_dict().items() if "running_" in name]
    return torch.cat([value.flatten() for value in found])


@pytest.mark.parametrize("more", [["--balanced_sampling", "1"], ["--simplified_maps", "1"], ["--use_ema"]])
def test_statistics_are_those_of_the_pictures_as_they_are(
    drawn: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    """Every picture once, in its own place and with its own map; the model in training stays as it was."""
    moves = ["--random_flip", "--random_shift", "0.2", "--random_scale", "0.2", "--random_turn", "20"]
    settings = resolved(drawn, *moves, *more)
    model = GroupDNet(GroupDNetConfig.for_labels(FIGURE_LABELS, (32, 32), 4)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seen = []
    forward = GroupDNet.forward

    def watched(self: GroupDNet, image: Tensor, label: Tensor, *others: object) -> object:
        seen.extend(zip(image, label, strict=True))
        return forward(self, image, label, *others)

    monkeypatch.setattr(GroupDNet, "forward", watched)
    shown = inference_model(settings, model)
    measured = shown.at(7, model)
    plain = build_data(resolved(drawn), FIGURE_LABELS, (32, 32))
    files = {
        (item["image"].numpy().tobytes(), item["label"].numpy().tobytes())
        for item in map(plain.__getitem__, range(12))
    }
    assert len(seen) == len(files) == 12
    assert {(image.numpy().tobytes(), label.numpy().tobytes()) for image, label in seen} == files
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training
    assert not torch.equal(running_statistics(measured), running_statistics(model))
    again = shown.at(7, model)
    assert torch.equal(running_statistics(again), running_statistics(measured))
    assert len(seen) == 12, "a sample grid and a checkpoint of one step share the work"


def test_live_weights_are_measured_anew_at_each_step(drawn: Path) -> None:
    settings = resolved(drawn, "--balanced_sampling", "1")
    model = GroupDNet(GroupDNetConfig.for_labels(FIGURE_LABELS, (32, 32), 4)).train()
    shown = inference_model(settings, model)
    first = running_statistics(shown.at(1, model)).clone()
    with torch.no_grad():
        model.decoder.fc.weight.mul_(3)
        model.decoder.fc.bias.add_(1)
    second = shown.at(2, model)
    assert torch.equal(second.decoder.fc.bias, model.decoder.fc.bias)
    assert not torch.equal(running_statistics(second), first)


def test_pictures_are_drawn_as_they_come_without(drawn: Path) -> None:
    """Plain training shows the very model that is trained."""
    settings = resolved(drawn)
    model = GroupDNet(GroupDNetConfig.for_labels(FIGURE_LABELS, (32, 32), 4)).train()
    assert inference_model(settings, model).at(1, model) is model


def test_the_prior_is_fitted_to_them_too(drawn: Path) -> None:
    settings = resolved(drawn, "--balanced_sampling", "1", "--random_turn", "30", "--simplified_maps", "1")
    model = GroupDNet(GroupDNetConfig.for_labels(FIGURE_LABELS, (32, 32), 4, prior_codes=12)).train()
    shown = inference_model(settings, model).at(1, model)
    plain = build_data(resolved(drawn), FIGURE_LABELS, (32, 32))
    assert shown.prior.count[0] == 12
    with torch.no_grad():
        codes = torch.stack(
            [shown.encode(plain[i]["image"][None], plain[i]["label"][None]).mode()[0, 0] for i in range(12)]
        )
    distances = torch.cdist(shown.prior.mean[0], codes.flatten(1))
    assert distances.min(dim=1).values.max() < 1e-3
    assert len(distances.argmin(dim=1).unique()) == 12
