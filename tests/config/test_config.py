"""The configuration: presets, a layout for any label set, JSON, and messages of refusals."""

from __future__ import annotations

import itertools
import json

import pytest

from groupdnet_hub import PRESETS, GroupDNetConfig, LabelSet
from groupdnet_hub.baselines import system_config
from groupdnet_hub.config.decoder_layout import class_slots_for, groups_for


def labels(count: int) -> LabelSet:
    return LabelSet.from_names([f"class {i}" for i in range(count)])


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name: str) -> None:
    config = GroupDNetConfig.preset(name)
    assert GroupDNetConfig.from_json(config.to_json()) == config
    assert GroupDNetConfig.from_dict(config.to_dict()) == config
    assert hash(config) == hash(GroupDNetConfig.preset(name))


def test_presets_are_those_of_table_4() -> None:
    deepfashion, cityscapes, ade20k = (GroupDNetConfig.preset(name) for name in PRESETS)
    assert [b.groups for b in deepfashion.blocks] == [8, 8, 4, 4, 2, 2, 1]
    assert [b.out_channels for b in deepfashion.blocks] == [2560, 2560, 2560, 1280, 640, 320, 160]
    assert deepfashion.code_shape == (8, 8, 4, 4)
    assert [b.groups for b in cityscapes.blocks] == [35, 35, 20, 14, 10, 4, 1]
    assert cityscapes.code_shape == (35, 8, 4, 8)
    assert cityscapes.label_channels == 70
    assert [b.groups for b in ade20k.blocks] == [151, 16, 16, 8, 4, 2, 1]
    assert [b.hidden_channels for b in ade20k.blocks] == [302, 2416, 2416, 1208, 604, 302, 302]


@pytest.mark.parametrize(
    "size", [(256, 256), (128, 128), (64, 32), (16, 16), (8, 8), (256, 192), (512, 1024)]
)
def test_a_schedule_for_any_number_of_classes(size: tuple[int, int]) -> None:
    for count in range(1, 201):
        config = GroupDNetConfig.for_labels(labels(count), size, width=8)
        groups = [config.class_slots, *(b.groups for b in config.blocks)]
        assert groups[-1] == 1
        # Each count divides the one before: groups merge as a unit, so that no class is split.
        assert all(before % after == 0 for before, after in itertools.pairwise(groups))
        # Equal parts of the channels are equal parts of the slots: neighbouring classes share a group.
        assert all(config.class_slots % g == 0 for g in groups)
        assert config.fc_channels % config.class_slots == 0
        assert count <= config.class_slots <= 1.25 * count
        assert config.num_classes == count


def test_groups_drop_fast_in_the_first_blocks() -> None:
    for count in (35, 59, 130, 151, 182, 200):
        assert groups_for(count, 7)[1] <= 16
    assert groups_for(8, 7) == (8, 8, 4, 4, 2, 2, 1)
    assert class_slots_for(151) == (160, 16)


def test_hidden_channels_a_class() -> None:
    for count in (8, 11, 151):
        usual = GroupDNetConfig.for_labels(labels(count), (64, 64), 20)
        assert {b.hidden_channels // usual.class_slots for b in usual.blocks} == {2}
        six = GroupDNetConfig.for_labels(labels(count), (64, 64), 20, hidden_per_class=6)
        assert {b.hidden_channels / six.class_slots for b in six.blocks} == {6}
        same = GroupDNetConfig.for_labels(labels(count), (64, 64), 20, hidden_per_class=2)
        assert same == usual
    for wrong in (0, 2.0, True):
        with pytest.raises(
            ValueError, match=r"hidden_per_class is .*; it must be a whole number of at least 1"
        ):
            GroupDNetConfig.for_labels(labels(8), (64, 64), 20, hidden_per_class=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="hidden_per_class is 4, but an ordinary decoder's norms"):
        system_config("GroupEnc", labels(8), (64, 64), 20, hidden_per_class=4)


def test_ablations_are_fields() -> None:
    config = GroupDNetConfig.for_labels(
        labels(4),
        (64, 64),
        8,
        split_mode="none",
        latent_mode="vector",
        norm_kind="group",
        spectral_norm=False,
    )
    assert config.code_shape == (4, 8, 1, 1)
    assert GroupDNetConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"encoder_width": 7}, r"encoder_width \(7\) does not divide evenly by the number of classes \(8\)"),
        ({"fc_channels": 2561}, r"fc_channels \(2561\) does not divide"),
        ({"fc_channels": 10**9}, "fc_channels is 1000000000"),
        ({"image_size": (256, 250)}, r"image_size \(250\) does not divide evenly by 2\*\*6"),
        ({"image_size": (64, 64)}, "latent map of 1x1"),
        ({"image_size": "large"}, "image_size is 'large'"),
        ({"split_mode": "cut"}, "split_mode is 'cut'; it must be one of 'crop', 'mask', 'none'"),
        ({"latent_mode": "cube"}, "latent_mode is 'cube'"),
        ({"norm_kind": "layer"}, "norm_kind is 'layer'"),
        ({"spectral_norm": 1}, "spectral_norm is 1"),
        ({"latent_channels": 0}, "latent_channels is 0"),
        ({"class_names": ("a",) * 8}, "'a' more than once"),
        ({"class_names": ("a", "b")}, "palette has 8 colours for 2 classes"),
        ({"palette": ((0, 0, 0),) * 8}, "same colour twice"),
        ({"palette": ((0, 0, 300),) * 8}, "0 to 255"),
        ({"encoder_multipliers": (1, 2)}, "encoder_multipliers has 2 entries"),
        ({"blocks": ()}, "blocks has 0 entries"),
        ({"blocks": (1,) * 7}, r"blocks\[0\] is 1"),
        ({"class_slots": 4}, "class_slots is 4"),
        ({"format_version": 3}, "format_version is 3"),
    ],
)
def test_what_cannot_work_is_refused_in_words(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GroupDNetConfig.preset("deepfashion").replace(**fields)


def test_for_labels_says_which_size_would_work() -> None:
    with pytest.raises(ValueError, match=r"multiples of 32, for example \(192, 256\)"):
        GroupDNetConfig.for_labels(labels(3), (200, 250))
    with pytest.raises(ValueError, match="at least 8 pixels"):
        GroupDNetConfig.for_labels(labels(3), (4, 64))
    with pytest.raises(ValueError, match="width is 0"):
        GroupDNetConfig.for_labels(labels(3), (64, 64), width=0)


def test_json_is_strict() -> None:
    values = GroupDNetConfig.preset("deepfashion").to_dict()
    with pytest.raises(ValueError, match="unknown configuration keys: 'colour'"):
        GroupDNetConfig.from_dict({**values, "colour": 1})
    with pytest.raises(ValueError, match="keys are missing: 'blocks'"):
        GroupDNetConfig.from_dict({k: v for k, v in values.items() if k != "blocks"})
    with pytest.raises(ValueError, match="format_version is 0"):
        GroupDNetConfig.from_dict({**values, "format_version": 0})
    with pytest.raises(ValueError, match="not valid JSON"):
        GroupDNetConfig.from_json("{")
    with pytest.raises(ValueError, match="JSON object"):
        GroupDNetConfig.from_json("[]")
    with pytest.raises(ValueError, match=r"blocks\[0\]"):
        GroupDNetConfig.from_dict({**values, "blocks": [{"groups": 8}]})
    with pytest.raises(ValueError, match="fc_channels is nan"):
        GroupDNetConfig.from_json(json.dumps({**values, "fc_channels": float("nan")}))
    with pytest.raises(ValueError, match="unknown preset 'coco'"):
        GroupDNetConfig.preset("coco")
