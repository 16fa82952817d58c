"""The networks: window look-up against convolution, independence of classes, split modes, precision, refusals."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from groupdnet_hub import GroupDNet, GroupDNetConfig, LabelSet, PairedImages
from groupdnet_hub.models.discriminator import MultiScaleDiscriminator
from groupdnet_hub.models.encoder import Gaussian, split_by_class
from groupdnet_hub.models.fast import label_windows
from groupdnet_hub.models.layers import GroupedConv2d
from tests.helpers.network_models import generator, make_model, maps, plain_decode
from tests.helpers.shared_data import shared_folder


@pytest.fixture
def forced_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look up everywhere, also where windows are many."""
    monkeypatch.setattr(label_windows, "DENSE_FRACTION", 2.0)
    monkeypatch.setattr(label_windows, "DENSE_PIXELS", 0)


@pytest.mark.usefixtures("forced_lookup")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["one class", "noise", "one pixel", "cells"]),
    count=st.sampled_from([1, 2, 3, 8, 11]),
    batch=st.integers(1, 3),
    edges=st.booleans(),
    size=st.sampled_from([(32, 32), (32, 64)]),
)
def test_lookup_equals_convolution(
    kind: str, count: int, batch: int, edges: bool, size: tuple[int, int]
) -> None:
    # In double precision: rounding would put some activations on the other side of 0, and their gradients with them.
    model = make_model(count, size, instance_edges=edges).double()
    label = maps(kind, batch, count, size)
    instance = maps("cells", batch, 5, size) if edges else None
    codes = model.sample_codes(batch, generator=generator())
    results = []
    for form in ("plain", "whole maps", "lookup"):
        model.zero_grad()
        if form == "plain":
            picture = plain_decode(model, codes, label, instance)
        else:
            prepared = model.prepare(label, instance, lookup=form == "lookup")
            indices = [m.index for block in prepared.modulations for m in block.values()]
            assert all((index is not None) == (form == "lookup") for index in indices)
            picture = model.decode(codes, prepared)
        (picture * torch.randn(picture.shape, generator=generator(9))).sum().backward()
        gradients = {n: p.grad.clone() for n, p in model.decoder.named_parameters() if p.grad is not None}
        results.append((picture.detach(), gradients))
    (plain, plain_gradients), *others = results
    for fast, fast_gradients in others:
        torch.testing.assert_close(fast, plain, rtol=0, atol=1e-9)
        assert plain_gradients.keys() == fast_gradients.keys()
        for name, value in plain_gradients.items():
            error = (fast_gradients[name] - value).norm() / value.norm().clamp(min=1e-3)
            assert error < 1e-5, name  # the look-up adds gradients up in single precision


@pytest.mark.usefixtures("forced_lookup")
def test_lookup_with_more_symbols_than_fit_one_number() -> None:
    model = make_model(151, (32, 32), 2)
    label = maps("noise", 1, 151, (32, 32))
    codes = model.sample_codes(generator=generator())
    with torch.no_grad():
        fast, plain = (
            model.decode(codes, model.prepare(label, lookup=True)),
            plain_decode(model, codes, label),
        )
    torch.testing.assert_close(fast, plain, rtol=0, atol=2e-5)


def test_windows_are_all_different_and_complete() -> None:
    label = maps("cells", 2, 6, (32, 32))
    label[0, 3, 3] = 5
    windows = label_windows.find_windows(label, 6)
    padded = torch.nn.functional.pad(label, (2, 2, 2, 2), value=6)
    patches = padded.unfold(1, 5, 1).unfold(2, 5, 1).reshape(2 * 32 * 32, 25)
    assert len(windows.hidden) == len(patches.unique(dim=0))
    # Equal number, equal window.
    order = windows.index.flatten()
    for number in range(0, len(windows.hidden), 7):
        assert len(patches[order == number].unique(dim=0)) == 1


@torch.no_grad()
def test_lookup_on_real_maps() -> None:
    data = PairedImages.from_folder(shared_folder("data/fashion8"), (128, 128), split="validation")
    label = torch.stack([data[i]["label"] for i in range(4)])
    model = make_model(8, (128, 128), 4)
    codes = model.sample_codes(4, generator=generator())
    prepared = model.prepare(label)
    assert prepared.modulations[-1]["norm_0"].index is not None
    torch.testing.assert_close(
        model.decode(codes, prepared),
        model.decode(codes, model.prepare(label, lookup=False)),
        rtol=0,
        atol=2e-5,
    )


@torch.no_grad()
def test_one_prepared_map_serves_many_codes() -> None:
    model = make_model()
    label = maps("cells", 1, 8, (64, 64))
    codes = model.sample_codes(3, generator=generator())
    together = model.decode(codes, model.prepare(label))
    for i in range(3):
        torch.testing.assert_close(model.decode(codes[i : i + 1], label)[0], together[i], rtol=0, atol=1e-5)
    torch.testing.assert_close(plain_decode(model, codes, label), together, rtol=0, atol=1e-5)


@pytest.mark.parametrize("split_mode", ["crop", "mask"])
@torch.no_grad()
def test_the_posterior_of_a_class_sees_its_own_pixels_only(split_mode: str) -> None:
    model = make_model(split_mode=split_mode)
    label = maps("cells", 2, 8, (64, 64))
    image = torch.rand(2, 3, 64, 64, generator=generator()) * 2 - 1
    changed = torch.where((label == 3)[:, None], -image, image)
    before, after = model.encode(image, label), model.encode(changed, label)
    for class_id in range(8):
        same = torch.equal(before.mean[:, class_id], after.mean[:, class_id])
        assert same == (class_id != 3)
        assert torch.equal(before.logvar[:, class_id], after.logvar[:, class_id]) == (class_id != 3)


@torch.no_grad()
def test_a_code_reaches_its_own_group_only_until_groups_merge() -> None:
    model = make_model(8, (256, 256))
    label = maps("cells", 1, 8, (256, 256))
    codes = model.sample_codes(generator=generator())
    changed = codes.clone()
    changed[:, 5] = -changed[:, 5]
    prepared = model.prepare(label)
    before, after = model.decoder.activations(codes, prepared), model.decoder.activations(changed, prepared)
    groups = [8, *(block.groups for block in model.config.blocks)]
    assert groups == [8, 8, 8, 4, 4, 2, 2, 1]
    for old, new, count in zip(before[:-1], after[:-1], groups, strict=True):
        for group, (a, b) in enumerate(zip(old.chunk(count, dim=1), new.chunk(count, dim=1), strict=True)):
            assert torch.equal(a, b) == (group != 5 * count // 8)


def test_split_modes() -> None:
    image = torch.arange(1.0, 17).view(1, 1, 4, 4).expand(1, 3, 4, 4)
    label = torch.tensor([[[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]])
    crop, mask, none = (split_by_class(image, label, 3, mode)[0] for mode in ("crop", "mask", "none"))
    expected = torch.zeros(4, 4)
    expected[1, 1], expected[1, 2], expected[2, 1] = 6, 7, 10
    assert torch.equal(mask[0, 3], expected)
    # The box of class 1 is 2 x 2; nearest resizing doubles each pixel.
    box = torch.tensor([[6.0, 6, 7, 7], [6, 6, 7, 7], [10, 10, 0, 0], [10, 10, 0, 0]])
    assert torch.equal(crop[0, 3], box)
    assert not crop[0, 6:].any()
    assert not mask[0, 6:].any()
    assert torch.equal(none[0, 6:], image[0])


@pytest.mark.parametrize(
    "fields",
    [{}, {"latent_mode": "vector"}, {"norm_kind": "group"}, {"spectral_norm": False}, {"split_mode": "none"}],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_every_kind_in_every_precision(fields: dict, dtype: torch.dtype) -> None:
    model = make_model(5, (32, 32), **fields).to(dtype)
    label = maps("cells", 2, 5, (32, 32))
    posterior = model.encode(torch.rand(2, 3, 32, 32, generator=generator()), label)
    assert posterior.mean.shape == (2, *model.config.code_shape)
    picture = model.decode(posterior.sample(generator()), label)
    assert picture.dtype == dtype
    assert picture.shape == (2, 3, 32, 32)
    assert torch.isfinite(picture.float()).all()
    assert picture.float().std() > 0.01


def test_spectral_norm_bounds_the_largest_singular_value() -> None:
    layer = GroupedConv2d(16, 32, spectral_norm=True, groups=4)
    layer.initialise(1.0, generator())
    layer.eval()
    largest = torch.linalg.matrix_norm(layer.normalised_weight().flatten(1).detach(), 2)
    assert largest == pytest.approx(1, rel=0.05)
    before = layer.weight_u.clone()
    layer(torch.zeros(1, 16, 4, 4))
    assert torch.equal(layer.weight_u, before)
    layer.train()
    layer(torch.zeros(1, 16, 4, 4))
    assert not torch.equal(layer.weight_u, before)


def test_initial_weights_come_from_the_generator() -> None:
    config = make_model().config
    first, again = (GroupDNet(config, generator=generator(4)).state_dict() for _ in range(2))
    other = GroupDNet(config, generator=generator(5)).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["decoder.fc.weight"], other["decoder.fc.weight"])
    # Glorot with gain 0.02: a variance of 0.02^2 * 2 / (fan in + fan out).
    fc = first["decoder.fc.weight"]
    fan = (fc.shape[1] + fc.shape[0]) * 9
    assert float(fc.std()) == pytest.approx(0.02 * (2 / fan) ** 0.5, rel=0.1)


def test_the_posterior() -> None:
    mean, logvar = torch.randn(2, 3, 4, 2, 2, generator=generator()), torch.zeros(2, 3, 4, 2, 2)
    posterior = Gaussian(mean, logvar)
    assert torch.equal(posterior.sample(generator(1)), posterior.sample(generator(1)))
    assert torch.equal(posterior.mode(), mean)
    torch.testing.assert_close(posterior.kl(), 0.5 * mean.square().sum(dim=(2, 3, 4)))
    prior = torch.distributions.Normal(0.0, 1.0)
    other = torch.distributions.Normal(mean, torch.exp(0.5 * (logvar + 0.3)))
    expected = torch.distributions.kl_divergence(other, prior).sum(dim=(2, 3, 4))
    torch.testing.assert_close(Gaussian(mean, logvar + 0.3).kl(), expected)


def test_discriminator_shapes() -> None:
    config = make_model().config
    outputs = MultiScaleDiscriminator(config)(torch.zeros(1, 8 + 3, 64, 64))
    assert [[tuple(f.shape[1:]) for f in scale] for scale in outputs] == [
        [(64, 33, 33), (128, 17, 17), (256, 9, 9), (512, 10, 10), (1, 11, 11)],
        [(64, 17, 17), (128, 9, 9), (256, 5, 5), (512, 6, 6), (1, 7, 7)],
    ]


def test_without_its_norm_a_discriminator_sees_contrast() -> None:
    """Instance normalisation takes a picture's contrast out; without it, every layer is spectrally normalised."""
    config = GroupDNetConfig.for_labels(LabelSet.from_names(["a", "b"]), (64, 64), 4, discriminator_width=8)
    x = torch.rand(1, 2 + 3, 64, 64, generator=generator())
    change = {}
    for norm in ("instance", "none"):
        discriminator = MultiScaleDiscriminator(config.replace(discriminator_norm=norm)).eval()
        convolutions = [m for m in discriminator.modules() if isinstance(m, GroupedConv2d)]
        with torch.no_grad():
            features, flat = discriminator(x)[0][3], discriminator(0.1 * x)[0][3]
        change[norm] = float(flat.std() / features.std())
        normalised = [layer.spectral_norm for layer in convolutions]
        assert normalised == ([False, True, True, True, False] if norm == "instance" else [True] * 5) * 2
        assert [layer.bias is None for layer in convolutions[1:4]] == [norm == "instance"] * 3
    assert change["instance"] > 0.9
    assert change["none"] < 0.2
    assert config == GroupDNetConfig.from_dict(
        {key: value for key, value in config.to_dict().items() if key != "discriminator_norm"}
    )
    with pytest.raises(ValueError, match="discriminator_norm is 'batch'"):
        config.replace(discriminator_norm="batch")


def test_refusals_in_words() -> None:
    model = make_model(3, (32, 32))
    label, codes = maps("cells", 1, 3, (32, 32)), model.sample_codes(generator=generator())
    bad = label.clone()
    bad[0, 0, :2] = 7
    with pytest.raises(ValueError, match="class id 7 at 2 pixels"):
        model.decode(codes, bad)
    with pytest.raises(ValueError, match=r"30x32; both sides must be multiples of 8"):
        model.decode(codes, label[:, :30])
    with pytest.raises(ValueError, match="integer tensor"):
        model.decode(codes, label.float())
    with pytest.raises(ValueError, match=r"need \[B, 3, 8, 4, 4\]"):
        model.decode(codes[:, :2], label)
    with pytest.raises(ValueError, match="2 codes cannot be drawn on 3 label maps"):
        model.decode(codes.expand(2, -1, -1, -1, -1), label.expand(3, -1, -1))
    with pytest.raises(ValueError, match="image is 16x16"):
        model.encode(torch.zeros(1, 3, 16, 16), label)
    with pytest.raises(ValueError, match=r"\[B, 3, H, W\]"):
        model.encode(torch.zeros(1, 1, 32, 32), label)
    with pytest.raises(ValueError, match="without instance edges"):
        model.decode(codes, label, label)
