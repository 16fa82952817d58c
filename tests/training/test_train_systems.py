"""Every system of the paper's tables is trained by train.py, saved, and loaded by its name alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from groupdnet_hub import LabelSet, load_system
from groupdnet_hub.baselines import SYSTEMS, build_system, system_config
from groupdnet_hub.figures import write_figures
from tests.helpers.train_runs import train, train_here

pytest.importorskip("accelerate")
from groupdnet_hub.training.config.rates import RATES
from groupdnet_hub.training.data.class_order import class_likeness, likeness_order
from groupdnet_hub.training.distributed import divide_batch_norm
from groupdnet_hub.training.objectives.latent import BicycleObjective, DiversityObjective
from groupdnet_hub.training.objectives.loss_weights import LossWeights

LABELS = LabelSet.from_names([f"class {i}" for i in range(8)])
NAMES_OF_LOSSES = {
    "hinge": {"adversarial", "feature_matching", "kl"},
    "pix2pixhd": {"adversarial", "feature_matching"},
    "bicyclegan": {"adversarial", "l1", "latent", "kl"},
    "dscgan": {"adversarial", "l1", "diversity"},
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    write_figures(folder, 16, size=(32, 32))
    return folder


def run(drawn: Path, output: Path, *flags: str) -> None:
    flags = ("--discriminator_width", "4", "--train_batch_size", "4", "--perceptual_net", "none", *flags)
    train_here(drawn, output, "--logging_steps", "1", *flags)


@pytest.mark.parametrize("name", SYSTEMS)
def test_five_steps_of_every_system(name: str, drawn: Path, tmp_path: Path) -> None:
    run(drawn, tmp_path / "run", "--model", name, "--max_train_steps", "5", "--validation_steps", "5")
    system = load_system(tmp_path / "run" / "model")
    config = system.config
    assert config.system_name == ("GroupDNet" if SYSTEMS[name].ablation else name)
    before = dict(build_system(config, generator=torch.Generator().manual_seed(0)).named_parameters())
    after = dict(system.named_parameters())
    assert before.keys() == after.keys()
    assert all(torch.isfinite(value).all() for value in after.values())
    unmoved = [key for key, value in before.items() if torch.equal(after[key], value)]
    # A network of MulNet whose class is hardly seen has no gradient at its mask.
    assert unmoved == [] or (name == "MulNet" and len(unmoved) < len(before) / 5)
    assert (tmp_path / "run" / "samples" / "0000005.png").is_file()
    facts = json.loads((tmp_path / "run" / "model" / "training.json").read_text())
    assert set(facts["loss_weights"]) - {"perceptual"} == NAMES_OF_LOSSES[SYSTEMS[name].objective]

    label = torch.randint(0, 8, (1, 32, 32), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        codes = system.sample_codes(1, generator=torch.Generator().manual_seed(1))
        redrawn = system.redraw(codes, 4, generator=torch.Generator().manual_seed(2))
        pictures = system.decode(codes, label), system.decode(redrawn, label)
    assert torch.equal(*pictures) == (codes.numel() == 0)


@pytest.mark.parametrize("name", ["BicycleGAN", "DSCGAN"])
def test_two_noises_go_on_where_they_stopped(
    name: str, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ("--model", name, "--max_train_steps", "4", "--checkpointing_steps", "2", "--use_ema")
    run(drawn, tmp_path / "run", *flags)
    whole = load_system(tmp_path / "run" / "model").state_dict()
    monkeypatch.chdir(tmp_path)
    checkpoint = str(tmp_path / "run" / "checkpoint-2")
    run(drawn, tmp_path / "run", *flags, "--resume_from_checkpoint", checkpoint)
    again = load_system(tmp_path / "run" / "model").state_dict()
    assert all(torch.equal(again[key], value) for key, value in whole.items())


def test_a_rival_is_trained_on_and_refuses_what_it_has_not(drawn: Path, tmp_path: Path) -> None:
    write = build_system(system_config("VSPADE", LABELS, (32, 32), 4))
    write.save_pretrained(tmp_path / "start")
    with pytest.raises(ValueError, match="VSPADE was made for other classes"):
        run(drawn, tmp_path / "no", "--pretrained_model_name_or_path", str(tmp_path / "start"))
    with pytest.raises(ValueError, match="--prior_rank has no effect"):
        run(drawn, tmp_path / "no", "--model", "SPADE", "--prior_rank", "2")
    with pytest.raises(ValueError, match="groups"):
        run(drawn, tmp_path / "no", "--model", "pix2pixHD", "--groups", "8", "4", "2", "1")
    flags = ("--max_train_steps", "1", "--model", "VSPADE")
    run(drawn, tmp_path / "one", *flags)
    start = str(tmp_path / "one" / "model")
    run(drawn, tmp_path / "two", "--max_train_steps", "1", "--pretrained_model_name_or_path", start)
    assert "Trained on from model" in (tmp_path / "two" / "model" / "README.md").read_text()


def test_groups_and_class_order_from_the_command_line(drawn: Path, tmp_path: Path) -> None:
    flags = ("--max_train_steps", "1", "--groups", "8", "8", "8", "1", "--class_order", "likeness")
    run(drawn, tmp_path / "run", *flags)
    config = load_system(tmp_path / "run" / "model").config
    assert [block.groups for block in config.blocks] == [8, 8, 8, 1]
    assert sorted(config.class_order) == list(range(8))


def test_the_command_line_as_a_user_gives_it(drawn: Path, tmp_path: Path) -> None:
    train(
        drawn, tmp_path / "run", "--model", "GroupEnc", "--max_train_steps", "1", "--perceptual_net", "none"
    )
    assert load_system(tmp_path / "run" / "model").config.system_name == "GroupEnc"


def test_parts_of_a_batch_are_normalised_on_their_own() -> None:
    """What the ablation without synchronised batch norms measures on one device."""
    norm = torch.nn.Sequential(torch.nn.BatchNorm2d(3, affine=False))
    divided = divide_batch_norm(torch.nn.Sequential(torch.nn.BatchNorm2d(3, affine=False)), 2)
    x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 2 + 1
    expected = torch.cat([norm(x[:2]), norm(x[2:])])
    assert torch.equal(divided(x), expected)
    assert divided.state_dict().keys() == norm.state_dict().keys()
    assert torch.equal(divided[0].running_mean, norm[0].running_mean)
    assert torch.equal(divided.eval()(x), norm.eval()(x))


def test_alike_classes_become_neighbours() -> None:
    generator = torch.Generator().manual_seed(0)
    colours = torch.rand(60, 4, 3, generator=generator) * 2 - 1
    # 0 and 3 vary together; 1 and 2 are never seen with each other, nor is 1 like any.
    colours[:, 3] = colours[:, 0] * 0.9
    shown = torch.ones(60, 4, dtype=torch.bool)
    shown[:30, 1], shown[30:, 2] = False, False
    likeness = class_likeness(colours, shown)
    assert likeness.shape == (4, 4)
    assert likeness[0, 3] == likeness.max(initial=0, where=~torch.eye(4, dtype=torch.bool).numpy())
    assert likeness[1, 2] == likeness.min()
    assert ((likeness >= 0) & (likeness <= 1 + 1e-9)).all()


def test_likeness_of_drawn_people(drawn: Path) -> None:
    from groupdnet_hub import PairedImages
    from groupdnet_hub.data.paired import read_label_set

    labels = read_label_set(drawn)
    order = likeness_order(PairedImages.from_folder(drawn, (32, 32), labels=labels))
    assert sorted(order) == list(range(8))
    # People are drawn with one tone for face and skin.
    places = [order.index(labels.id_of(name)) for name in ("face", "skin")]
    assert abs(places[0] - places[1]) == 1


class _Fixed(torch.nn.Module):
    """A discriminator that says the same of everything."""

    def forward(self, *seen: torch.Tensor) -> object:
        outputs = [[[torch.full((len(x), 1, 1, 1), 0.25)]] for x in seen]
        return outputs if len(outputs) > 1 else outputs[0]


def test_losses_of_bicyclegan_and_dscgan_by_hand() -> None:
    weights = LossWeights(adversarial=2.0, l1=10.0, latent=0.5, diversity=8.0, kl=0.1)
    label = torch.zeros(2, 32, 32, dtype=torch.int64)
    image = torch.zeros(2, 3, 32, 32)
    batch = {"image": image, "label": label}
    noise = torch.zeros(2, 2, 1, 8, 1, 1)
    noise[:, 1] = 1.0

    dscgan = build_system(system_config("DSCGAN", LABELS, (32, 32), 8)).train()
    first, second = dscgan(image, label, None, noise)
    losses, fakes = DiversityObjective(dscgan.config).generator_losses(
        dscgan, _Fixed(), batch, noise, weights
    )
    assert len(fakes) == 2
    # The codes are 1 apart in every place.
    apart = float((first - second).detach().abs().mean())
    assert float(losses["diversity"]) == pytest.approx(-8 * apart, rel=1e-5)
    assert float(losses["l1"]) == pytest.approx(
        5 * float((first.abs().mean() + second.abs().mean()).detach()), rel=1e-5
    )
    assert float(losses["adversarial"]) == pytest.approx(2 * 0.75**2)

    bicycle = build_system(system_config("BicycleGAN", LABELS, (32, 32), 8)).train()
    encoded, posterior, _, recovered = bicycle(image, label, None, noise)
    objective = BicycleObjective(bicycle.config)
    losses, fakes = objective.generator_losses(bicycle, _Fixed(), batch, noise, weights)
    assert float(losses["latent"]) == pytest.approx(0.5 * float((recovered - 1).abs().mean()), rel=1e-5)
    assert float(losses["l1"]) == pytest.approx(10 * float(encoded.abs().mean()), rel=1e-5)
    assert float(losses["kl"]) == pytest.approx(0.1 * float(posterior.kl().sum(1).mean()), rel=1e-4, abs=1e-9)
    assert float(losses["adversarial"]) == pytest.approx(2 * 2 * 0.75**2)
    of_two = objective.discriminator_losses(_Fixed(), fakes, batch)
    assert float(of_two["discriminator_fake"]) == pytest.approx(2 * 0.25**2)
    assert float(of_two["discriminator_real"]) == pytest.approx(2 * 0.75**2)
    assert set(RATES) == {*NAMES_OF_LOSSES, "segmentation"}
