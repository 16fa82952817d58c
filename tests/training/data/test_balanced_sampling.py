"""Pictures of rare classes drawn more often: as often as computed, by seed and epoch, and taken up again exactly."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from groupdnet_hub import GroupDNet, LabelSet, PairedImages
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.transforms.placement import Placement
from groupdnet_hub.figures import write_figures

pytest.importorskip("accelerate")
from safetensors.torch import load_file

from groupdnet_hub.training.config import parse_train_config
from groupdnet_hub.training.data.balanced_sampling import BalancedOrder, classes_of_pictures, picture_weights
from groupdnet_hub.training.data.batches import build_loader
from groupdnet_hub.training.data.class_order import _colours
from groupdnet_hub.training.data.pictures import build_data
from tests.helpers.command_lines import refusal, train_settings
from tests.helpers.train_runs import train


@pytest.fixture(autouse=True)
def _global_random_state_stays() -> None:
    """A data loader without a generator of its own draws its workers' seed."""


def rare_hats(count: int = 400) -> Tensor:
    """All pictures show class 0, a half class 1, and 4 in a hundred class 2."""
    shown = torch.zeros(count, 3, dtype=torch.bool)
    shown[:, 0], shown[::2, 1], shown[7::25, 2] = True, True, True
    return shown


def test_weights_go_by_the_rarest_class() -> None:
    shown = rare_hats()
    weights = picture_weights(shown, 0.5)
    torch.testing.assert_close(weights[0], torch.tensor(0.5, dtype=torch.float64) ** -0.5)
    torch.testing.assert_close(weights[1], torch.tensor(1.0, dtype=torch.float64))
    torch.testing.assert_close(weights[7], torch.tensor(5.0, dtype=torch.float64))
    assert torch.equal(picture_weights(shown, 0.0), torch.ones(400, dtype=torch.float64))
    assert picture_weights(shown, 1.0).max() == 10, "no picture comes more than ten times as often as others"


def test_the_share_of_a_rare_class_rises_as_computed() -> None:
    shown = rare_hats()
    weights = picture_weights(shown, 0.5)
    expected = float((weights * shown[:, 2]).sum() / weights.sum())
    assert expected > 3 * float(shown[:, 2].float().mean())
    order = BalancedOrder(weights, seed=3)
    for epoch in range(4):
        order.set_epoch(epoch)
        indices = torch.tensor([index for index, _ in order])
        assert len(indices) == len(order) == 400
        assert float(shown[indices, 2].float().mean()) == pytest.approx(expected, abs=0.02)
        # Each picture comes as often as its share of the epoch, rounded down or up.
        times = torch.bincount(indices, minlength=400)
        share = weights * 400 / weights.sum()
        assert bool(((times == share.floor()) | (times == share.ceil())).all())
    # Neither early nor late in an epoch.
    early = shown[indices[:200], 2].float().mean() / shown[indices, 2].float().mean()
    assert 0.6 < early < 1.4


def test_with_equal_weights_each_picture_comes_once() -> None:
    assert sorted(BalancedOrder(torch.ones(50, dtype=torch.float64), seed=0)) == [(i, 0) for i in range(50)]


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    weights = picture_weights(rare_hats(), 1.0)
    orders = {}
    for seed, epoch in ((0, 0), (0, 1), (1, 0)):
        order = BalancedOrder(weights, seed)
        order.set_epoch(epoch)
        orders[seed, epoch] = list(order)
        assert list(order) == orders[seed, epoch]
    assert len({tuple(order) for order in orders.values()}) == 3


def test_a_picture_that_comes_again_is_moved_otherwise(drawn: Path) -> None:
    """Elements tell how often the picture came before, and the data set moves it by that."""
    order = list(BalancedOrder(picture_weights(rare_hats(), 1.0), seed=0))
    before: Counter[int] = Counter()
    for index, time in order:
        assert time == before[index]
        before[index] += 1
    assert max(before.values()) > 3
    data = PairedImages.from_folder(drawn, (32, 32), transform=Placement(random_shift=0.3, random_turn=20))
    pictures = [data[2, time]["image"] for time in range(4)]
    assert torch.equal(pictures[0], data[2]["image"])
    assert len({picture.numpy().tobytes() for picture in pictures}) == 4
    plain = PairedImages.from_folder(drawn, (32, 32))
    assert torch.equal(plain[2, 3]["image"], plain[2]["image"])


def test_classes_are_read_from_the_label_maps_alone(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = PairedImages.from_folder(drawn, (32, 32))
    expected = torch.stack([torch.bincount(data[i]["label"].flatten(), minlength=8) > 0 for i in range(8)])

    def no_picture(*args: object) -> None:
        raise AssertionError("a picture was read")

    monkeypatch.setattr("groupdnet_hub.data.paired.read_photo", no_picture)
    assert torch.equal(classes_of_pictures(PairedImages.from_folder(drawn, (32, 32))), expected)


def test_the_loader_follows_the_order(drawn: Path) -> None:
    settings = train_settings(drawn, "--train_batch_size", "2", "--balanced_sampling", "1")
    data = build_data(settings, FIGURE_LABELS, (32, 32))
    loader = build_loader(settings, data, torch.device("cpu"), on_device=False)
    order = BalancedOrder(picture_weights(classes_of_pictures(data), 1.0), settings.seed)
    expected = torch.stack([data[index]["image"] for index, _ in order])
    assert torch.equal(torch.cat([batch["image"] for batch in loader]), expected)


def test_a_run_goes_on_as_if_it_had_not_stopped(drawn: Path, tmp_path: Path) -> None:
    """With everything that draws: order, moves and memory; the stop is within the second epoch of four steps."""
    flags = ["--balanced_sampling", "1", "--random_flip", "--random_scale", "0.1", "--random_turn", "4"]
    flags += ["--redraw_weight", "5", "--redraw_memory", "4", "--redraw_interval", "2", "--seed", "3"]
    flags += ["--simplified_maps", "0.5", "--prior_codes", "3", "--prior_ties", "face+skin"]
    flags += ["--perceptual_net", "none", "--lr_decay_start", "1", "--checkpointing_steps", "6"]
    train(drawn, tmp_path / "whole", *flags, "--max_train_steps", "9")
    train(drawn, tmp_path / "halves", *flags, "--max_train_steps", "6")
    train(
        drawn,
        tmp_path / "halves",
        *flags,
        "--max_train_steps",
        "9",
        "--resume_from_checkpoint",
        "latest",
        "--allow_changes",
        "max_train_steps",
    )
    whole, halves = (
        load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "halves")
    )
    assert [key for key, value in whole.items() if not torch.equal(halves[key], value)] == []
    model = GroupDNet.from_pretrained(tmp_path / "whole" / "model")
    assert model.config.prior_ties == (("face", "skin"),)
    card = (tmp_path / "whole" / "model" / "README.md").read_text()
    assert "Fraction of the pictures whose label maps were simplified | 0.5 |" in card
    assert "Codes of each class that the redraw loss took others from | 4 |" in card


def test_two_processes_see_and_redraw_what_one_does(tmp_path: Path) -> None:
    write_figures(tmp_path / "drawn", 16, size=(32, 32))
    flags = ["--perceptual_net", "none", "--learning_rate", "2e-4"]
    flags += ["--discr_learning_rate", "2e-4", "--max_train_steps", "5", "--balanced_sampling", "1"]
    flags += ["--redraw_weight", "5", "--redraw_memory", "3"]
    one, two = tmp_path / "one", tmp_path / "two"
    train(tmp_path / "drawn", one, *flags, "--train_batch_size", "8", sgd=True)
    train(tmp_path / "drawn", two, *flags, "--train_batch_size", "4", processes=2, sgd=True)
    # Statistics are measured on one process's batches, and are those of the pictures in them.
    weights, of_two = (
        dict(GroupDNet.from_pretrained(run / "model").named_parameters()) for run in (one, two)
    )
    for key, value in weights.items():
        torch.testing.assert_close(of_two[key], value, rtol=1e-4, atol=1e-4, msg=key)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--balanced_sampling", "1.5"], "--balanced_sampling is 1.5; it must lie from 0 to 1"),
        (
            [
                "--balanced_sampling",
                "1",
                "--streaming",
                "--dataset_name",
                "imagefolder",
                "--max_train_steps",
                "1",
            ],
            "--balanced_sampling has no effect on a stream",
        ),
        (["--random_scale", "1"], "--random_scale is 1.0; it must lie from 0 up to less than 1"),
        (["--random_turn", "-4"], "--random_turn is -4.0; it must lie from 0 to 90 degrees"),
        (["--redraw_memory", "64"], "--redraw_memory has no effect without --redraw_weight"),
        (["--redraw_interval", "2"], "--redraw_interval has no effect without --redraw_weight"),
        (["--redraw_weight", "1", "--redraw_memory", "0"], "--redraw_memory is 0; it must be at least 1"),
        (["--redraw_weight", "1", "--redraw_interval", "0"], "--redraw_interval is 0; it must be at least 1"),
    ],
)
def test_flags_that_do_not_fit(drawn: Path, flags: list[str], message: str) -> None:
    assert message in refusal(parse_train_config, ["--train_data_dir", str(drawn), *flags])


def test_a_class_that_is_shown_at_unknown_pixels_alone_is_not_shown() -> None:
    maps = [np.array([[0, 1], [255, 0]]), np.array([[2, 2], [255, 255]]), np.array([[0, 0], [2, 2]])]
    pairs = [(np.zeros((2, 2, 3), np.uint8), one, None) for one in maps]
    names = LabelSet.from_names(["a", "b", "c"])
    data = PairedImages(pairs, replace(names, ignore=(255, 2)), (2, 2))
    expected = [[True, True, False], [False, False, False], [True, False, False]]
    assert classes_of_pictures(data).tolist() == expected
    data.cache(torch.device("cpu"))
    assert classes_of_pictures(data).tolist() == expected
    assert torch.isfinite(picture_weights(classes_of_pictures(data), 1.0)).all()


def test_colours_of_classes_are_those_of_known_pixels() -> None:
    """Which classes are alike is found from them."""
    picture, label = np.zeros((2, 4, 3), np.uint8), np.array([[0, 0, 1, 1], [255, 255, 255, 2]])
    picture[0, :2], picture[1] = 255, 77
    labels = replace(LabelSet.from_names(["a", "b", "c"]), ignore=(255, 2))
    colours, shown = _colours(PairedImages([(picture, label, None)], labels, (2, 4)), 1)
    assert shown.tolist() == [[True, True, False]]
    assert colours[0, :2].tolist() == [[1, 1, 1], [-1, -1, -1]]
