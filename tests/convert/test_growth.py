"""A trained model as the start of one for pictures twice as large: what it draws at first, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from groupdnet_hub import GroupDNet, GroupDNetConfig, grow
from groupdnet_hub.baselines import system_config
from tests.helpers.label_examples import numbered
from tests.helpers.trained_models import random_inputs, trained_like

SIZE = (32, 48)


def config(**fields: object) -> GroupDNetConfig:
    return GroupDNetConfig.for_labels(numbered(5), SIZE, width=4, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"latent_mode": "vector"},
        {"norm_kind": "group"},
        {"spectral_norm": False},
        {"instance_edges": True},
        {"code_placement": "box"},
        {"code_placement": "box", "encoder_colours": True, "code_grid": 2, "class_order": (3, 0, 4, 1, 2)},
    ],
    ids=str,
)
def test_features_begin_as_the_old_ones_enlarged(fields: dict[str, object]) -> None:
    old = trained_like(config(**fields))
    new = grow(old)
    assert new.config.image_size == (64, 96)
    _, label, codes = random_inputs(old.config)
    instance = label + 1 if old.config.instance_edges else None
    large = label.repeat_interleave(2, 1).repeat_interleave(2, 2)
    large_instance = None if instance is None else instance.repeat_interleave(2, 1).repeat_interleave(2, 2)
    with torch.no_grad():
        # Instance edges are thin lines at each size: only label maps are the same.
        if instance is not None:
            assert new.decode(codes, large, large_instance).shape == (2, 3, 64, 96)
            return
        before = old.decoder.activations(codes, old.prepare(label))
        after = new.decoder.activations(codes, new.prepare(large))
    enlarged = F.interpolate(before[-2], scale_factor=2, mode="nearest")
    torch.testing.assert_close(after[-2], enlarged, rtol=0, atol=1e-5)
    # Features of each block before are the very same, and the picture is one of these enlarged features.
    for a, b in zip(after[:-2], before[:-1], strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    assert not torch.equal(before[-2], before[-2].mean().expand_as(before[-2]))


@pytest.mark.parametrize("kind", ["prior_rank", "prior_codes"])
def test_codes_keep_their_size_and_prior(kind: str) -> None:
    old = trained_like(config(**{kind: 2}))
    images, labels, _ = random_inputs(old.config)
    old.fit_prior([(images, labels), (images.flip(3), labels.flip(2))])
    new = grow(old)
    assert new.config.code_shape == old.config.code_shape
    assert new.config.code_grid == old.config.code_grid
    a, b = (model.sample_codes(3, generator=torch.Generator().manual_seed(1)) for model in (old, new))
    assert torch.equal(a, b)


def test_the_second_encoder_layer_begins_as_a_mean() -> None:
    new = grow(trained_like(config()))
    layer = new.encoder.layers[1]
    x = torch.rand(1, layer.in_channels, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        got = layer(x)
    weight = torch.full((layer.in_channels, 1, 3, 3), 1 / 9)
    wanted = F.conv2d(x, weight, stride=2, padding=1, groups=layer.in_channels)
    torch.testing.assert_close(F.instance_norm(got), F.instance_norm(wanted), rtol=1e-3, atol=1e-3)


def test_everything_new_learns() -> None:
    """A silent branch would stay silent if its gradients were zero."""
    new = grow(trained_like(config())).train()
    image, label, noise = random_inputs(new.config)
    picture, _ = new(image, label, None, noise)
    (picture - image).square().mean().backward()
    block = new.decoder.blocks[-1]
    learning = {name for name, p in block.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert {"norm_1.gamma.weight", "norm_1.gamma.bias", "norm_1.beta.bias", "conv_1.bias"} <= learning
    assert new.encoder.layers[1].weight.grad.abs().sum() > 0
    with torch.no_grad():
        for p in new.parameters():
            if p.grad is not None:
                p -= 0.01 * p.grad / (p.grad.norm() + 1e-12)
    new.zero_grad()
    picture, _ = new(image, label, None, noise)
    (picture - image).square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for name, p in block.named_parameters() if name.startswith("conv"))


def test_the_old_model_stays_and_a_grown_one_is_saved(tmp_path: Path) -> None:
    old = trained_like(config())
    before = {name: value.clone() for name, value in old.state_dict().items()}
    old.card_facts = {"license": "mit", "metrics": {"a": 1}}
    new = grow(grow(old))
    assert all(torch.equal(value, before[name]) for name, value in old.state_dict().items())
    assert new.card_facts == {"license": "mit"}
    new.save_pretrained(tmp_path / "grown")
    again = GroupDNet.from_pretrained(tmp_path / "grown")
    assert again.config.image_size == (128, 192)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), new.parameters(), strict=True))


def test_what_cannot_grow_says_why() -> None:
    apart = system_config("MulNet", numbered(5), SIZE, 4)
    assert isinstance(apart, GroupDNetConfig)
    with pytest.raises(ValueError, match="a MulNet has a network for each class: it cannot be grown"):
        grow(GroupDNet(apart))
    with pytest.raises(ValueError, match=r"16384.* 8192"):
        grow(GroupDNet(config().replace(image_size=(32, 8192))))
