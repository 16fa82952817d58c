"""The networks are the paper's: the same numbers as recorded from the authors' networks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from groupdnet_hub import GroupDNet, GroupDNetConfig
from groupdnet_hub.convert.smis import matched
from groupdnet_hub.convert.smis_keys import BLOCK_NAMES, encoder_key, generator_key
from groupdnet_hub.data.labels import instance_edges, one_hot
from groupdnet_hub.models.discriminator import MultiScaleDiscriminator
from groupdnet_hub.models.encoder import Gaussian, split_by_class
from groupdnet_hub.training.objectives.losses import (
    PerceptualLoss,
    feature_matching_loss,
    hinge_discriminator_loss,
    hinge_generator_loss,
    kl_loss,
)
from tests.helpers.shared_data import shared_folder
from tests.helpers.smis_recordings import (
    PRESET_NAMES,
    discriminator_key,
    inputs,
    recipe_image,
    recipe_labels,
    recipe_noise,
    recipe_state_dict,
    recording,
    small_config,
    stream,
    strided,
)


def small_networks(name: str) -> tuple[GroupDNet, MultiScaleDiscriminator]:
    folder = shared_folder("parity")
    config = small_config(name)
    model = GroupDNet.from_smis(
        folder / f"{name}_small_netG.safetensors", folder / f"{name}_small_netE.safetensors", config=config
    )
    discriminator = MultiScaleDiscriminator(config)
    weights = load_file(folder / f"{name}_small_netD.safetensors")
    discriminator.load_state_dict(matched(weights, discriminator_key, discriminator.state_dict(), "netD"))
    return model, discriminator.eval()


def condition(label: Tensor, instance: Tensor | None, classes: int) -> Tensor:
    channels = one_hot(label, classes)
    return channels if instance is None else torch.cat((channels, instance_edges(instance)), dim=1)


def close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", PRESET_NAMES)
@torch.no_grad()
def test_encoder(name: str) -> None:
    tensors, _ = recording(name)
    model, _ = small_networks(name)
    image, label, _ = inputs(tensors)
    split = split_by_class(image, label, model.config.num_classes, "crop")[0]
    assert torch.equal(strided(split, 16), tensors["eval.encoder_input_sub"])
    posterior = model.encode(image, label)
    close(posterior.mean.flatten(1, 2), tensors["eval.mu"], 2e-5)
    close(posterior.logvar.flatten(1, 2), tensors["eval.logvar"], 2e-5)


@pytest.mark.parametrize("form", ["plain", "whole maps", "lookup"])
@pytest.mark.parametrize("name", PRESET_NAMES)
@torch.no_grad()
def test_decoder(name: str, form: str) -> None:
    tensors, _ = recording(name)
    model, _ = small_networks(name)
    _, label, instance = inputs(tensors)
    codes = tensors["eval.z_rec"].view(2, *model.config.code_shape)
    if form == "plain":
        edges = None if instance is None else instance_edges(instance)
        outputs = model.decoder.activations(codes, label, edges)
    else:
        outputs = model.decoder.activations(codes, model.prepare(label, instance, lookup=form == "lookup"))
    for block, output in zip(("fc", *BLOCK_NAMES), outputs[:-1], strict=True):
        close(strided(output, 8), tensors[f"eval.probe.{block}"], 2e-5)
    step = 2 if name == "cityscapes" else 1
    close(outputs[-1][:1, :, ::step, ::step], tensors["eval.image"], 2e-5)


@pytest.mark.parametrize("name", PRESET_NAMES)
@torch.no_grad()
def test_redrawing_one_class(name: str) -> None:
    tensors, _ = recording(name)
    model, _ = small_networks(name)
    _, label, instance = inputs(tensors)
    prepared = model.prepare(label[:1], None if instance is None else instance[:1])
    codes = tensors["z1"].view(1, *model.config.code_shape).clone()
    close(model.decode(codes, prepared)[:, :, ::4, ::4], tensors["eval.image_z1_sub"], 2e-5)
    codes[:, 1] = tensors["z_swap_class1"].view(codes.shape)[:, 1]
    close(model.decode(codes, prepared)[:, :, ::4, ::4], tensors["eval.image_swap_sub"], 2e-5)


@pytest.mark.parametrize("name", PRESET_NAMES)
@torch.no_grad()
def test_discriminator(name: str) -> None:
    tensors, _ = recording(name)
    model, discriminator = small_networks(name)
    image, label, instance = inputs(tensors)
    fake = model.decode(tensors["eval.z_rec"].view(2, *model.config.code_shape), label, instance)
    given = condition(label, instance, model.config.num_classes)
    both = torch.cat((torch.cat((given, fake), dim=1), torch.cat((given, image), dim=1)))
    for scale, logits in enumerate(discriminator(both)):
        close(logits[-1], tensors[f"eval.Dfull.{scale}.logits"], 5e-5)
    for scale, features in enumerate(discriminator(both[:, :, :64, :64])):
        for layer, feature in enumerate(features):
            expected = tensors[f"eval.D64.{scale}.{layer}"]
            close(feature[: len(expected)], expected, 5e-5)


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_training_step(name: str) -> None:
    """Losses, buffers, gradients and one Adam step as recorded (parity README: sequence and tolerances).

    In double precision: each batch norm of a deep decoder magnifies rounding, so that in single precision the last
    digits depend on the number of threads.
    """
    tensors, figures = recording(name)
    buffers = load_file(shared_folder("parity") / f"{name}_small_train_buffers.safetensors")
    model, discriminator = (network.train().double() for network in small_networks(name))
    image, label, instance = inputs(tensors)
    image = image.double()
    noise = tensors["eps"].view(2, *model.config.code_shape).double()
    given = condition(label, instance, model.config.num_classes)

    def judge(fake: Tensor) -> tuple[Any, Any]:
        outputs = discriminator(
            torch.cat((torch.cat((given, fake), dim=1), torch.cat((given, image), dim=1)))
        )
        return [[f[:2] for f in s] for s in outputs], [[f[2:] for f in s] for s in outputs]

    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.0, 0.9))
    fake, posterior = model(image, label, instance, noise)
    fake_features, real_features = judge(fake)
    losses = {
        "KLD": 0.05 * 2 * kl_loss(posterior),  # the recording sums over the batch of 2
        "GAN": hinge_generator_loss([s[-1] for s in fake_features]),
        "GAN_Feat": 10 * feature_matching_loss(fake_features, real_features),
    }
    for key, value in figures["train.G_losses"].items():
        assert float(losses[key].detach()) == pytest.approx(value, rel=1e-5), key
    close(strided_by(fake, 8), tensors["train.image_sub"].double(), 1e-5)

    networks = {
        "G": (model.decoder, generator_key),
        "E": (model.encoder, encoder_key),
        "D": (discriminator, discriminator_key),
    }
    checked = 0
    for key, expected in buffers.items():
        _, letter, original = key.split(".", 2)
        network, rename = networks[letter.removeprefix("net")]
        ours = rename(original)
        if ours is None or ours.endswith("num_batches_tracked"):
            continue
        close(network.state_dict()[ours], expected.double(), 1e-5)
        checked += 1
    assert checked > 20

    sum(losses.values()).backward()
    for letter in ("G", "E"):
        compare_sums(figures["train.grad_abs_sum"], letter, *networks[letter], lambda p: p.grad, 3e-3)
    optimizer.step()
    for letter in ("G", "E"):
        compare_sums(
            figures["train.after_G_step.param_abs_sum"], letter, *networks[letter], lambda p: p, 2e-3
        )
    discriminator.zero_grad()
    with torch.no_grad():
        again, _ = model(image, label, instance, noise)
    fakes, reals = judge(again)
    on_fake, on_real = hinge_discriminator_loss([s[-1] for s in fakes], [s[-1] for s in reals])
    expected = figures["train.D_losses_after_G_step"]
    assert float(on_fake.detach()) == pytest.approx(expected["D_Fake"], rel=2e-3)
    assert float(on_real.detach()) == pytest.approx(expected["D_real"], rel=2e-3)
    # Adam's first step is the sign of each gradient: where there is almost none, rounding decides it.
    (on_fake + on_real).backward()
    compare_sums(
        figures["train.D_grad_abs_sum"], "D", discriminator, discriminator_key, lambda p: p.grad, 3e-2
    )


def strided_by(tensor: Tensor, step: int) -> Tensor:
    return tensor[..., ::step, ::step]


def compare_sums(
    figures: dict[str, Any],
    letter: str,
    network: nn.Module,
    rename: Callable[[str], str | None],
    value_of: Callable[[nn.Parameter], Tensor | None],
    tolerance: float,
) -> None:
    """Sums of absolute values by parameter."""
    parameters, checked = dict(network.named_parameters()), 0
    for key, expected in figures.items():
        if not key.startswith(f"net{letter}."):
            continue
        ours = rename(key.removeprefix(f"net{letter}."))
        # The bias before a batch norm has no true gradient (parity README).
        if ours not in parameters or expected is None or key.endswith("conv_0.bias") or expected <= 1e-3:
            continue
        value = value_of(parameters[ours])
        assert value is not None
        assert float(value.detach().double().abs().sum()) == pytest.approx(expected, rel=tolerance), key
        checked += 1
    assert checked > 5


@torch.no_grad()
def test_full_width_deepfashion() -> None:
    folder = shared_folder("parity")
    keys = json.loads((folder / "deepfashion_full_keys.json").read_text())
    expected = load_file(folder / "deepfashion_full_io.safetensors")
    config = GroupDNetConfig.preset("deepfashion")
    model = GroupDNet(config).eval()
    for network, name, rename in (
        (model.decoder, "netG", generator_key),
        (model.encoder, "netE", encoder_key),
    ):
        weights = recipe_state_dict({k: shape for k, (shape, _) in keys[name].items()}, f"101/{name[-1]}")
        network.load_state_dict(matched(weights, rename, network.state_dict(), name))
    image, label = recipe_image("101", 1, 256, 256), recipe_labels("101", 1, 8, 256, 256, absent=2)
    posterior = model.encode(image, label)
    close(posterior.mean.flatten(1, 2), expected["mu"], 1e-4)
    close(posterior.logvar.flatten(1, 2), expected["logvar"], 1e-4)
    noise = recipe_noise("101", "eps", (1, 64, 4, 4)).view(1, 8, 8, 4, 4)
    codes = posterior.mean + torch.exp(0.5 * posterior.logvar) * noise
    fake = model.decode(codes, label)
    close(fake[:, :, ::4, ::4], expected["image_sub"], 1e-4)
    discriminator = MultiScaleDiscriminator(config).eval()
    weights = recipe_state_dict({k: shape for k, (shape, _) in keys["netD"].items()}, "101/D")
    discriminator.load_state_dict(matched(weights, discriminator_key, discriminator.state_dict(), "netD"))
    given = one_hot(label, 8)
    logits = discriminator(torch.cat((torch.cat((given, fake), dim=1), torch.cat((given, image), dim=1))))
    for scale in range(2):
        close(logits[scale][-1], expected[f"D{scale}"], 1e-4)


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_full_width_keys_and_counts(name: str) -> None:
    """Every key and shape of the full-width checkpoints has its place, and the counts are the paper's."""
    keys = json.loads((shared_folder("parity") / f"{name}_full_keys.json").read_text())
    with torch.device("meta"):
        model = GroupDNet(GroupDNetConfig.preset(name))
        discriminator = MultiScaleDiscriminator(model.config)
    dead = [key for key in keys["netG"] if key.startswith("up_4.")]
    assert bool(dead) == (name == "ade20k")
    for network, part, rename in (
        (model.decoder, "netG", generator_key),
        (model.encoder, "netE", encoder_key),
        (discriminator, "netD", discriminator_key),
    ):
        originals = {
            key: torch.empty(shape, device="meta")
            for key, (shape, _) in keys[part].items()
            if key not in dead
        }
        assert set(matched(originals, rename, network.state_dict(), part)) == set(network.state_dict())
    counts = [sum(p.numel() for p in network.parameters()) for network in (model.decoder, model.encoder)]
    assert counts[0] == keys["params"]["G"] - keys["params"].get("G_up_4_dead", 0)
    assert counts[1] == keys["params"]["E"]
    assert sum(p.numel() for p in discriminator.parameters()) == keys["params"]["D"]
    if name == "deepfashion":
        assert sum(counts) == 109_160_163


def test_losses() -> None:
    facts = json.loads((shared_folder("parity") / "misc.json").read_text())
    logits = [recipe_noise("7", "gan0", (2, 1, 5, 5)), 2 * recipe_noise("7", "gan1", (2, 1, 3, 3))]
    on_fake, on_real = hinge_discriminator_loss(logits, logits)
    assert float(on_fake) == pytest.approx(facts["gan"]["D_fake"], rel=1e-6)
    assert float(on_real) == pytest.approx(facts["gan"]["D_real"], rel=1e-6)
    assert float(hinge_generator_loss(logits)) == pytest.approx(facts["gan"]["G"], rel=1e-6)
    mean, logvar = recipe_noise("7", "mu", (2, 64, 4, 4)), 0.5 * recipe_noise("7", "lv", (2, 64, 4, 4))
    posterior = Gaussian(mean.view(2, 8, 8, 4, 4), logvar.view(2, 8, 8, 4, 4))
    assert float(2 * kl_loss(posterior)) == pytest.approx(facts["kld_sum"]["value"], rel=1e-6)


def test_perceptual_loss(tmp_path: Any) -> None:
    pytest.importorskip("torchvision")
    facts = json.loads((shared_folder("parity") / "misc.json").read_text())["vgg"]
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 512]
    weights = {}
    for i, key in enumerate(facts["convs"]):
        shape = (widths[i + 1], widths[i], 3, 3)
        for part, scale, size in (
            ("weight", (2 / (widths[i] * 9)) ** 0.5, shape),
            ("bias", 0.1, shape[:1]),
        ):
            values = stream("7/VGG", f"{key}.{part}").standard_normal(size) * scale
            weights[f"{key}.{part}"] = torch.from_numpy(values).float()
    save_file(weights, tmp_path / "vgg.safetensors")
    loss = PerceptualLoss("vgg19", tmp_path / "vgg.safetensors")
    first, second = (recipe_image(seed, 1, 64, 64) for seed in ("71", "72"))
    for feature, expected in zip(loss.features(first), facts["features_x"], strict=True):
        assert float(feature.double().abs().sum()) == pytest.approx(expected["abs_sum"], rel=1e-4)
    assert float(loss(first, second)) == pytest.approx(facts["loss"], rel=1e-5)


def test_instance_edges() -> None:
    facts = json.loads((shared_folder("parity") / "misc.json").read_text())["edges"]
    edges = instance_edges(torch.tensor(facts["inst"])[None])
    assert edges[0, 0].int().tolist() == facts["edge"]
