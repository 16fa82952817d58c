"""The systems of the paper's tables: sizes, one interface, saving and loading."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from groupdnet_hub import GroupDNet, GroupDNetConfig, LabelSet, load_system, transfer_classes
from groupdnet_hub.baselines import (
    SPADE,
    SYSTEMS,
    BicycleGAN,
    System,
    build_system,
    system_config,
    system_from_json,
    system_preset,
)
from groupdnet_hub.models.mulnet import SeparateConv2d

LABELS = LabelSet.from_names([f"class {i}" for i in range(8)])

# Table 1, and for pix2pixHD its global generator (millions of parameters, generator and encoder).
PARAMETERS = {
    "GroupDNet": 109.1,
    "MulNet": 105.1,
    "GroupNet": 97.7,
    "GroupEnc": 105.5,
    "GroupDec": 111.3,
    "VSPADE": 106.8,
    "pix2pixHD": 45.6,
    "BicycleGAN": 58.4,
    "DSCGAN": 58.4,
}
WITH_CLASS_CODES = ("GroupDNet", "MulNet", "GroupNet", "GroupEnc", "GroupDec")
# Without any code, or with one for the whole picture.
WITHOUT_CODES = ("SPADE", "pix2pixHD")


def small(name: str, labels: LabelSet = LABELS, size: tuple[int, int] = (32, 32), **fields: object) -> System:
    config = system_config(name, labels, size, 8, discriminator_width=4, **fields)
    return build_system(config, generator=torch.Generator().manual_seed(1)).eval()


def some_labels(size: tuple[int, int] = (32, 32), batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    coarse = torch.randint(0, 8, (batch, size[0] // 8, size[1] // 8), generator=generator)
    return coarse.repeat_interleave(8, 1).repeat_interleave(8, 2)


def parameters(system: nn.Module) -> int:
    return sum(p.numel() for p in system.parameters())


@pytest.mark.parametrize("name", SYSTEMS)
def test_full_width_has_the_papers_number_of_parameters(name: str) -> None:
    with torch.device("meta"):
        system = build_system(system_preset(name, "deepfashion"))
    expected = PARAMETERS["GroupDNet"] if SYSTEMS[name].ablation else PARAMETERS.get(name)
    if (
        name == "SPADE"
    ):  # VSPADE without encoder and linear layer (96.3 M less 4.2 M), with a convolution instead
        expected = 92.2
    assert expected is not None
    assert parameters(system) / 1e6 == pytest.approx(expected, rel=0.03)
    assert system.config.image_size == (256, 256)
    assert len(system.labels) == 8


def test_presets_with_instances_build() -> None:
    for name in ("GroupNet", "GroupEnc", "GroupDec", "SPADE", "VSPADE", "pix2pixHD", "BicycleGAN"):
        with torch.device("meta"):
            system = build_system(system_preset(name, "cityscapes"))
        assert system.config.instance_edges
        assert system.config.image_size == (256, 512)
    assert system_preset("GroupDNet", "ade20k") == GroupDNetConfig.preset("ade20k")
    ablated = system_preset("GroupDNet-without-map", "cityscapes")
    assert ablated == GroupDNetConfig.preset("cityscapes").replace(latent_mode="vector")


@pytest.mark.parametrize("name", SYSTEMS)
@torch.no_grad()
def test_one_interface(name: str, tmp_path: Path) -> None:
    system, label = small(name), some_labels()
    generator = torch.Generator().manual_seed(3)
    codes = system.sample_codes(2, generator=generator, label_size=(32, 32))
    assert codes.shape == (2, *system.config.code_shape)
    picture = system.decode(codes, label)
    assert picture.shape == (2, 3, 32, 32)
    assert picture.abs().max() <= 1
    one_map = system.prepare(label[:1])
    assert torch.allclose(system.decode(codes, one_map)[:1], picture[:1], atol=1e-6)

    assert system.has_class_codes == (name in WITH_CLASS_CODES or bool(SYSTEMS[name].ablation))
    redrawn = system.redraw(codes, 3, generator=generator)
    assert redrawn.shape == codes.shape
    if system.has_class_codes:
        kept = [i for i in range(8) if i != 3]
        assert torch.equal(redrawn[:, kept], codes[:, kept])
        assert not torch.equal(redrawn[:, 3], codes[:, 3])
    else:
        assert codes.numel() == 0 or not torch.isclose(redrawn, codes).any()
        assert (codes.numel() == 0) == (name in WITHOUT_CODES)
    again = system.sample_codes(2, generator=torch.Generator().manual_seed(3), label_size=(32, 32))
    assert torch.equal(again, codes)

    if system.has_encoder:
        image = torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1
        posterior = system.encode(image, label)
        assert posterior.mean.shape == posterior.logvar.shape == codes.shape
        assert posterior.kl().shape == codes.shape[:2]
    else:
        with pytest.raises(ValueError, match="has no encoder"):
            system.encode(picture, label)

    system.save_pretrained(tmp_path)
    loaded = load_system(tmp_path)
    assert type(loaded) is type(system)
    assert loaded.config == system.config
    assert torch.equal(loaded.decode(codes, label), picture)
    assert system.config.system_name in (tmp_path / "README.md").read_text(encoding="utf-8")
    own = type(system).from_pretrained(tmp_path)
    assert torch.equal(own.decode(codes, label), picture)


@torch.no_grad()
def test_instance_maps_reach_every_system() -> None:
    label, instance = some_labels((64, 32)), some_labels((64, 32)) % 3
    for name in ("GroupNet", "GroupEnc", "VSPADE", "SPADE", "pix2pixHD", "BicycleGAN", "DSCGAN"):
        system = small(name, size=(64, 32), instance_edges=True)
        # Fresh weights hardly show what reaches them.
        for parameter in system.parameters():
            parameter.mul_(5)
        codes = system.sample_codes(2, generator=torch.Generator().manual_seed(0), label_size=(64, 32))
        pictures = [system.decode(codes, label, edges) for edges in (instance, torch.zeros_like(instance))]
        assert not torch.equal(*pictures), name
        with pytest.raises(ValueError, match="instance map"):
            system.decode(codes, label)


@torch.no_grad()
def test_mulnet_with_copied_weights_equals_groupnet() -> None:
    """Without spectral norms: a grouped layer has one for all groups, separate networks have one each."""
    labels = LabelSet.from_names([f"class {i}" for i in range(7)])  # a prime number: eight slots, one empty
    groupnet = small("GroupNet", labels, spectral_norm=False)
    assert isinstance(groupnet, GroupDNet)
    mulnet = GroupDNet(groupnet.config.replace(separate_networks=True)).eval()
    sources = dict(groupnet.named_modules())
    copied = 0
    for name, module in mulnet.named_modules():
        if isinstance(module, SeparateConv2d):
            module.copy_weights(sources[name])
            copied += 1
        elif isinstance(module, nn.Conv2d) and ".networks." not in name:
            module.load_state_dict(sources[name].state_dict())
    assert copied > 20
    assert parameters(mulnet) == parameters(groupnet)
    label = some_labels() % 7
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    one, other = groupnet.encode(image, label), mulnet.encode(image, label)
    assert one.mean.abs().max() > 1e-5
    torch.testing.assert_close(other.mean, one.mean, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(other.logvar, one.logvar, atol=1e-6, rtol=1e-4)
    codes = groupnet.sample_codes(2, generator=torch.Generator().manual_seed(4))
    for lookup in (True, False):
        expected = groupnet.decode(codes, groupnet.prepare(label, lookup=lookup))
        found = mulnet.decode(codes, mulnet.prepare(label, lookup=lookup))
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


@torch.no_grad()
def test_networks_of_mulnet_do_not_see_each_other() -> None:
    """What the fusing module has not joined yet: the class's own network answers for its features alone."""
    mulnet = small("MulNet")
    assert isinstance(mulnet, GroupDNet)
    codes = mulnet.sample_codes(1, generator=torch.Generator().manual_seed(0))
    redrawn = mulnet.redraw(codes, 2, generator=torch.Generator().manual_seed(1))
    prepared = mulnet.prepare(some_labels()[:1])
    before, after = (mulnet.decoder.activations(c, prepared) for c in (codes, redrawn))
    for one, other in list(zip(before, after, strict=True))[:-2]:
        changed = (one - other).abs().amax(dim=(0, 2, 3)).view(8, -1).amax(dim=1) > 0
        assert changed.nonzero().flatten().tolist() == [2]


@torch.no_grad()
def test_class_order_moves_slots_and_nothing_else() -> None:
    order = (7, 0, 5, 2, 1, 6, 3, 4)
    ordered = GroupDNet(system_config("GroupDNet", LABELS, (32, 32), 8, class_order=order)).eval()
    plain = GroupDNet(ordered.config.replace(class_order=())).eval()
    plain.load_state_dict(ordered.state_dict())
    slot_of = torch.tensor([order.index(class_id) for class_id in range(8)])
    label = some_labels()
    codes = ordered.sample_codes(2, generator=torch.Generator().manual_seed(0))
    expected = plain.decode(codes[:, list(order)], slot_of[label])
    assert torch.equal(ordered.decode(codes, label), expected)
    assert not torch.equal(plain.decode(codes, label), expected)
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    theirs = plain.encode(image, slot_of[label])
    assert torch.equal(ordered.encode(image, label).mean, theirs.mean[:, slot_of])
    with pytest.raises(ValueError, match="class_order"):
        ordered.config.replace(class_order=(0, 0, 1, 2, 3, 4, 5, 6))


def test_only_the_encoders_gradient_is_kept_back_from_the_random_code() -> None:
    """BicycleGAN's encoder learns from real pictures, its generator from both."""
    system = small("BicycleGAN")
    assert isinstance(system, BicycleGAN)
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    noise = torch.randn(2, 2, 1, 8, 1, 1, generator=torch.Generator().manual_seed(1))
    _, _, _, recovered = system(image, some_labels(), None, noise)
    recovered.abs().sum().backward()
    assert all(p.grad is None for p in system.encoder.parameters())
    assert all(p.grad is not None for p in system.unet.parameters())


def test_foreign_configurations_are_refused(tmp_path: Path) -> None:
    small("VSPADE").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="configuration of a SPADE, not of a GroupDNet"):
        GroupDNet.from_pretrained(tmp_path)
    text = (tmp_path / "config.json").read_text()
    assert system_from_json(text) == small("VSPADE").config
    (tmp_path / "config.json").write_text(text.replace('"SPADE"', '"StyleGAN"'))
    with pytest.raises(ValueError, match="its system is 'StyleGAN'"):
        load_system(tmp_path)
    with pytest.raises(ValueError, match="unknown system 'StyleGAN'"):
        system_config("StyleGAN", LABELS)
    with pytest.raises(ValueError, match="pix2pixHD cannot be configured so"):
        system_config("pix2pixHD", LABELS, groups=(1,))
    with pytest.raises(ValueError, match="groups are"):
        system_config("GroupDNet", LABELS, (64, 64), groups=(8, 3, 1, 1, 1))
    with pytest.raises(FileNotFoundError):
        load_system(tmp_path / "absent")


def test_only_a_plain_groupdnet_is_carried_over_to_other_classes() -> None:
    for model, message in (
        (small("GroupEnc"), "a GroupEnc cannot be made one of other classes"),
        (small("GroupDNet", class_order=tuple(range(7, -1, -1))), "of another class order"),
    ):
        assert isinstance(model, GroupDNet)
        with pytest.raises(ValueError, match=message):
            transfer_classes(model, LabelSet.from_names(["class 0", "new"]))


def test_sizes_that_do_not_fit_are_refused() -> None:
    vspade, label = small("VSPADE"), some_labels((64, 64))
    assert isinstance(vspade, SPADE)
    with pytest.raises(ValueError, match="makes pictures of 32x32 only"):
        vspade.decode(vspade.sample_codes(2), label)
    with pytest.raises(ValueError, match="multiples of 8"):
        small("SPADE").decode(torch.zeros(2, 0), some_labels()[:, :30])
    with pytest.raises(ValueError, match="this model needs"):
        vspade.decode(torch.zeros(2, 3), some_labels())
    with pytest.raises(ValueError, match="does not divide evenly"):
        system_config("BicycleGAN", LABELS, (48, 48))
