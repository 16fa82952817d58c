"""What the paper's runs cost: the arithmetic of the table, and the table of the documentation."""

from __future__ import annotations

import pytest
import torch

from groupdnet_hub import GroupDNet, GroupDNetConfig, LabelSet
from groupdnet_hub.metrics.cost import count_macs
from tests.helpers.train_runs import ROOT
from train.tools import training_cost
from train.tools.training_cost import RUNS, Assumptions, NetworkMacs, cost, main, network_macs, notes, table

MACS = NetworkMacs(encoder=1 * 10**9, decoder=99 * 10**9, discriminator=10 * 10**9, perceptual=20 * 10**9)


def test_the_arithmetic() -> None:
    assert MACS.step == 460 * 10**9  # 3 x 100 + 10 x 10 + 3 x 20
    assumed = Assumptions(card_tflops=920, share=0.5, price=3.0, scaling=0.8)
    assert assumed.rate(MACS.step) == pytest.approx(500)
    one = cost(3_600_000, 500, 1, assumed)
    assert (one.rate, one.hours, one.dollars) == pytest.approx((500, 2.0, 6.0))
    four = cost(3_600_000, 500, 4, assumed)
    assert (four.rate, four.hours, four.dollars) == pytest.approx((1600, 0.625, 7.5))


def test_a_measured_rate_replaces_the_estimate_and_its_mark() -> None:
    assumed = Assumptions(card_tflops=920, share=0.5, price=3.0, scaling=0.8)
    rows = table({"deepfashion": MACS, "ade20k": MACS}, {"deepfashion": 250.0}, [1, 4], assumed).splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert cells[2] == ["deepfashion", "29,000 x 100", "0.92", "250 (measured)", "3.2", "~10", "~1.0", "~12"]
    assert cells[3] == ["ade20k", "20,210 x 200", "0.92", "~500 (estimated)", "~2.2", "~7", "~0.7", "~8"]


def test_the_networks_are_counted() -> None:
    """As in a real decode of a map so irregular that no window is looked up."""
    labels = LabelSet.from_names(("sky", "house", "road"))
    config = GroupDNetConfig.for_labels(labels, image_size=(32, 32), width=8)
    found = network_macs(config)
    label = torch.randint(0, 3, (1, 32, 32), generator=torch.Generator().manual_seed(0))
    assert found.decoder == count_macs(GroupDNet(config), label)
    assert min(found.encoder, found.discriminator, found.perceptual) > 0
    # Twice the sides, four times the convolutions of VGG19.
    larger = network_macs(GroupDNetConfig.for_labels(labels, image_size=(64, 64), width=8))
    assert larger.perceptual == 4 * found.perceptual


@pytest.mark.slow
def test_the_documented_table_is_that_of_the_presets() -> None:
    macs = {name: network_macs(GroupDNetConfig.preset(name)) for name in RUNS}
    documented = (ROOT / "docs" / "training_cost.md").read_text(encoding="utf-8")
    assert f"{table(macs, {}, [1, 8], Assumptions())}\n\n{notes(Assumptions(), [1, 8])}\n" in documented
    # In billions, as measured with hooks on the real networks.
    decoders = {name: round(found.decoder / 1e9, 1) for name, found in macs.items()}
    assert decoders == {"deepfashion": 291.3, "cityscapes": 462.7, "ade20k": 382.7}


def test_the_command_prints_table_and_notes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_cost, "network_macs", lambda config: MACS)
    main(["--pictures_per_second", "cityscapes=100", "--cards", "2", "--price", "1.5", "--scaling", "1"])
    printed = capsys.readouterr().out
    assert "| cityscapes | 3,000 x 200 | 0.92 | 100 (measured) | ~0.8 | ~2 |" in printed
    assert "$1.50 per card and hour" in printed


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--pictures_per_second", "deepfashion"], "PRESET=RATE"),
        (["--pictures_per_second", "people=3"], "the presets are"),
        (["--pictures_per_second", "ade20k=0"], "PRESET=RATE"),
        (["--pictures_per_second", "ade20k=nan"], "PRESET=RATE"),
        (["--share", "1.5"], "above 0 and at most 1"),
        (["--price", "0"], "above 0"),
        (["--cards", "0"], "at least 1"),
    ],
)
def test_wrong_flags_end_with_a_message(
    capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(flags)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
