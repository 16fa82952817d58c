"""A trained model as the start of one for other classes: what stays the same, exactly, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from groupdnet_hub import GroupDNet, GroupDNetConfig, LabelSet, transfer_classes
from groupdnet_hub.convert.transfer import TransferReport
from groupdnet_hub.convert.transfer_plan import config_for_classes
from groupdnet_hub.models.layers import GroupedConv2d
from tests.helpers.label_examples import numbered
from tests.helpers.smis_recordings import small_config
from tests.helpers.trained_models import random_inputs, trained_like

SIZE = (32, 32)
# Pictures and posteriors are equal but for the rounding of sums in another order.
TOLERANCE = 1e-5


def chosen(labels: LabelSet, order: Sequence[int], *more: str) -> LabelSet:
    """Old classes in another order, then new ones."""
    names = [labels.names[i] for i in order]
    return LabelSet.from_names([*names, *more])


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=TOLERANCE, rtol=0)


def new_ids(label: Tensor, order: Sequence[int]) -> Tensor:
    """A label map of the old ids in those of the new order, [new id] -> old id."""
    position = torch.empty(len(order), dtype=torch.int64)
    position[torch.tensor(order)] = torch.arange(len(order))
    return position[label]


def rows(layer: GroupedConv2d, class_: int, classes: int) -> Tensor:
    """The weights of one class's output channels."""
    each = layer.out_channels // classes
    return layer.weight[class_ * each : (class_ + 1) * each]


@pytest.fixture(scope="module")
def eight() -> GroupDNet:
    """Groups 8, 4, 2, 1."""
    return trained_like(GroupDNetConfig.for_labels(numbered(8), SIZE, 4))


def mixed(report: TransferReport) -> dict[str, int | None]:
    return {o.name: m for o, m in zip(report.origins, report.mixed_from, strict=True)}


@pytest.mark.parametrize("classes", [1, 5, 8, 11])
def test_the_same_classes_give_the_same_model_bit_for_bit(classes: int) -> None:
    model = trained_like(GroupDNetConfig.for_labels(numbered(classes), SIZE, 4))
    new, report = transfer_classes(model, model.labels)
    assert new.config == model.config
    before, after = model.state_dict(), new.state_dict()
    assert [k for k in before if not torch.equal(before[k], after[k])] == []
    assert all(part.taken == part.total for part in report.parts)
    assert set(report.mixed_from) == {None}


@pytest.mark.parametrize("preset", ["deepfashion", "cityscapes", "ade20k"])
def test_the_same_classes_of_the_papers_families(preset: str) -> None:
    model = trained_like(small_config(preset).replace(image_size=(64, 128)))
    new, report = transfer_classes(model, model.labels)
    before, after = model.state_dict(), new.state_dict()
    assert [k for k in before if not torch.equal(before[k], after[k])] == []
    assert all(part.taken == part.total for part in report.parts)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"spectral_norm": False},
        {"norm_kind": "group"},
        {"instance_edges": True},
        {"latent_mode": "vector"},
        {"code_placement": "box"},
        {"code_placement": "box", "encoder_colours": True, "code_grid": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "order", [(4, 5, 6, 7, 0, 1, 2, 3), (1, 0, 2, 3, 4, 5, 6, 7), (5, 4, 7, 6, 0, 1, 3, 2)], ids=str
)
@torch.no_grad()
def test_where_whole_groups_move_the_pictures_stay(fields: dict[str, object], order: tuple[int, ...]) -> None:
    model = trained_like(GroupDNetConfig.for_labels(numbered(8), SIZE, 4, **fields))
    new, report = transfer_classes(model, chosen(model.labels, order))
    image, label, codes = random_inputs(model.config)
    instance = torch.arange(32 * 32).view(1, 32, 32).expand(2, -1, -1) // 100
    extra = (instance,) if model.config.instance_edges else ()
    close(
        new.decode(codes[:, list(order)], new_ids(label, order), *extra), model.decode(codes, label, *extra)
    )
    posterior, before = new.encode(image, new_ids(label, order)), model.encode(image, label)
    close(posterior.mean, before.mean[:, list(order)])
    assert set(report.mixed_from) == {None}
    assert all(part.taken == part.total for part in report.parts)


@torch.no_grad()
def test_an_identity_skip_keeps_each_class_on_its_channels() -> None:
    """A block that merges groups without a change of width adds its input to its output channel by channel."""
    config = GroupDNetConfig.for_labels(numbered(8), SIZE, 4)
    wide = config.blocks[0].out_channels
    blocks = (
        config.blocks[0],
        dataclasses.replace(config.blocks[1], out_channels=wide),
        *config.blocks[2:],
    )
    model = trained_like(config.replace(blocks=blocks))
    assert not model.decoder.blocks[1].has_skip_convolution
    order = (3, 2, 1, 0, 5, 4, 7, 6)
    new, _ = transfer_classes(model, chosen(model.labels, order))
    _, label, codes = random_inputs(model.config)
    close(new.decode(codes[:, list(order)], new_ids(label, order)), model.decode(codes, label))


@torch.no_grad()
def test_any_order_keeps_the_encoder_and_says_what_is_approximate(eight: GroupDNet) -> None:
    order = (0, 2, 1, 3, 4, 5, 6, 7)
    new, report = transfer_classes(eight, chosen(eight.labels, order))
    image, label, codes = random_inputs(eight.config)
    posterior, before = new.encode(image, new_ids(label, order)), eight.encode(image, label)
    close(posterior.mean, before.mean[:, list(order)])
    close(posterior.logvar, before.logvar[:, list(order)])
    # Classes 1 and 2 change their groups of two: one of each pair cannot stay with its own.
    changed = {name for name, block in mixed(report).items() if block is not None}
    assert changed <= {f"class {i}" for i in range(4)}
    assert {block for block in report.mixed_from if block is not None} == {1}
    assert "in the old order" in report.table()
    picture = new.decode(codes[:, list(order)], new_ids(label, order))
    assert (picture - eight.decode(codes, label)).abs().max() > 100 * TOLERANCE


@pytest.mark.parametrize("fields", [{}, {"code_placement": "box", "encoder_colours": True}], ids=str)
@pytest.mark.parametrize(("classes", "more"), [(8, 1), (8, 2), (6, 1), (5, 6), (11, 9)])
@torch.no_grad()
def test_a_fresh_class_behind_the_old_ones_leaves_every_picture(
    classes: int, more: int, fields: dict[str, object]
) -> None:
    """Whether it takes a spare slot, widens the groups, or fuses them."""
    model = trained_like(GroupDNetConfig.for_labels(numbered(classes), SIZE, 4, **fields))
    labels = chosen(model.labels, range(classes), *(f"new {i}" for i in range(more)))
    new, report = transfer_classes(model, labels)
    image, label, codes = random_inputs(model.config)
    extra = torch.randn(2, more, *codes.shape[2:], generator=torch.Generator().manual_seed(1))
    close(new.decode(torch.cat((codes, extra), dim=1), label), model.decode(codes, label))
    posterior, before = new.encode(image, label), model.encode(image, label)
    close(posterior.mean[:, :classes], before.mean)
    close(posterior.logvar[:, :classes], before.logvar)
    assert all(mixed(report)[name] is None for name in model.labels.names)


@torch.no_grad()
def test_a_new_class_starts_with_its_neighbours_slices(eight: GroupDNet) -> None:
    labels = chosen(eight.labels, range(8), "bag", "hat")
    new, report = transfer_classes(eight, labels, init_from={"bag": "class 4"})
    slots = new.config.class_slots
    per_class = [(a, b, 8, 10) for a, b in zip(eight.encoder.layers, new.encoder.layers, strict=True)]
    per_class += [(eight.encoder.mean, new.encoder.mean, 8, 10), (eight.decoder.fc, new.decoder.fc, 8, slots)]
    first, carried = eight.decoder.blocks[0], new.decoder.blocks[0]
    per_class += [
        (first.conv_0, carried.conv_0, 8, slots),
        (first.norm_0.shared, carried.norm_0.shared, 8, slots),
    ]
    for old, now, before, after in per_class:
        for class_ in range(8):
            assert torch.equal(rows(now, class_, after), rows(old, class_, before))
        assert torch.equal(rows(now, 8, after), rows(old, 4, before))
        assert not torch.equal(rows(now, 9, after), rows(now, 8, after))
        assert rows(now, 9, after).abs().max() > 0
    image, _, codes = random_inputs(eight.config)
    everywhere = torch.full((2, *SIZE), 8)
    close(new.encode(image, everywhere).mean[:, 8], eight.encode(image, everywhere - 4).mean[:, 4])
    origins = {o.name: (o.source, o.carried) for o in report.origins}
    assert origins["bag"] == ("class 4", False)
    assert origins["hat"] == (None, False)
    assert origins["class 4"] == ("class 4", True)
    # What a bag looks like follows its own code.
    padded = torch.cat((codes, codes[:, :2]), dim=1)
    other = padded.clone()
    other[:, 8] = 2 * codes[:, 7]
    assert (new.decode(padded, everywhere) - new.decode(other, everywhere)).abs().max() > 1e-3


@torch.no_grad()
def test_the_first_training_step_is_finite_and_makes_unit_vectors(eight: GroupDNet) -> None:
    new, _ = transfer_classes(eight, chosen(eight.labels, (2, 0, 7), "bag"), init_from={"bag": "class 3"})
    assert not new.training
    new.train()
    image, label, _ = random_inputs(new.config)
    noise = torch.zeros(2, *new.config.code_shape)
    picture, posterior = new(image, label, noise=noise)
    assert torch.isfinite(picture).all()
    assert torch.isfinite(posterior.logvar).all()
    for module in new.modules():
        if isinstance(module, GroupedConv2d) and module.spectral_norm:
            assert float(module.weight_u.norm()) == pytest.approx(1, abs=1e-4)


def test_the_old_model_and_the_seed_are_respected(eight: GroupDNet) -> None:
    before = {key: value.clone() for key, value in eight.state_dict().items()}
    labels = chosen(eight.labels, range(8), "bag")
    first, second, third = (
        transfer_classes(eight, labels, generator=torch.Generator().manual_seed(seed))[0].state_dict()
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    assert any(not torch.equal(value, third[key]) for key, value in first.items())
    assert all(torch.equal(value, eight.state_dict()[key]) for key, value in before.items())


def test_a_transferred_model_is_saved_and_loaded(eight: GroupDNet, tmp_path: Path) -> None:
    eight.card_facts = {"metrics": {"LPIPS": 0.2}, "license": "apache-2.0"}
    new, _ = transfer_classes(eight, chosen(eight.labels, range(8), "bag"))
    eight.card_facts = {}
    assert new.card_facts == {"license": "apache-2.0"}  # figures of the old model say nothing of the new one
    new.save_pretrained(tmp_path / "model")
    again = GroupDNet.from_pretrained(tmp_path / "model")
    assert again.labels.names[-1] == "bag"
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in new.state_dict().items())


@pytest.mark.parametrize(("kind", "fresh"), [("prior_rank", {"unfitted": 1}), ("prior_codes", {"count": 0})])
def test_a_fitted_prior_goes_with_its_classes(kind: str, fresh: dict[str, int]) -> None:
    config = GroupDNetConfig.for_labels(numbered(3), image_size=SIZE, width=4, **{kind: 2})
    old = GroupDNet(config)
    for buffer in old.prior.buffers():
        buffer.normal_(generator=torch.Generator().manual_seed(1))
    new, _ = transfer_classes(old, chosen(old.labels, (2, 0), "bag"))
    for name, value in new.prior.named_buffers():
        before = old.prior.get_buffer(name)
        assert torch.equal(value[:2], before[[2, 0]])
    assert {name: int(new.prior.get_buffer(name)[2]) for name in fresh} == fresh  # N(0, 1)


@pytest.mark.parametrize(
    ("names", "init_from", "message"),
    [
        (["class 0", "bag"], {"bag": "clas 7"}, "bag=clas 7.*did you mean 'class 7'"),
        (["class 0", "bag"], {"bags": "class 7"}, "bags=class 7.*did you mean 'bag'"),
        (["class 0", "bag"], {"class 0": "class 7"}, "keeps its own weights"),
        (["class 0", "bag"], {"class 5": "class 7"}, "no class 'class 5'"),
        (["sky", "tree"], {}, "no class of the data .sky, tree. is one of the model's"),
    ],
)
def test_refusals(eight: GroupDNet, names: list[str], init_from: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        transfer_classes(eight, LabelSet.from_names(names), init_from=init_from)


@pytest.mark.parametrize(
    "config",
    [
        small_config("cityscapes"),
        GroupDNetConfig.preset("cityscapes"),
        GroupDNetConfig.for_labels(numbered(1), SIZE, 4),
    ],
    ids=["small cityscapes", "cityscapes", "one class"],
)
def test_what_cannot_be_widened_is_refused(config: GroupDNetConfig) -> None:
    with pytest.raises(ValueError, match=f"cannot be made one of {config.num_classes + 1}"):
        config_for_classes(config, numbered(config.num_classes + 1))


def test_the_widened_network_keeps_what_one_slot_has() -> None:
    old = GroupDNetConfig.preset("deepfashion")
    new = config_for_classes(old, numbered(10))
    assert new.fc_channels // new.class_slots == old.fc_channels // old.class_slots
    assert new.encoder_width // 10 == old.encoder_width // 8
    assert new.blocks[-1].out_channels == old.blocks[-1].out_channels
    for was, now in zip(old.blocks[:-1], new.blocks[:-1], strict=True):
        assert now.out_channels / now.groups == was.out_channels / was.groups
    # Fewer classes leave the decoder as it is.
    assert config_for_classes(old, numbered(5)).blocks == old.blocks
    # Groups that hold parts of classes stay as they are.
    ade = GroupDNetConfig.preset("ade20k")
    wider = config_for_classes(ade, numbered(152))
    for was, now in zip(ade.blocks[1:], wider.blocks[1:], strict=True):
        assert (now.out_channels, now.groups) == (was.out_channels, was.groups)
    assert json.loads(wider.to_json())["class_slots"] == 152


def test_the_table_names_every_class_and_part(eight: GroupDNet) -> None:
    labels = chosen(eight.labels, (0, 1, 2), "bag", "hat")
    _, report = transfer_classes(eight, labels, init_from={"bag": "class 4"})
    lines = [line.split() for line in report.table().splitlines()]
    assert ["class", "0", "itself", "all", "layers"] in lines
    assert ["hat", "fresh"] in lines
    assert any(line[:3] == ["bag", "class", "4"] for line in lines)
    assert "not used: class 3, class 5, class 6, class 7" in report.table()
    assert any(line[:1] == ["encoder"] and line[-1] == "80.0%" for line in lines)
