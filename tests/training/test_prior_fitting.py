"""A prior of the codes of those pictures that are decoded nearest, class by class."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from groupdnet_hub import GroupDNet, GroupDNetConfig, LabelSet
from groupdnet_hub.data.figure_drawing import draw_figure
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.training.prior_fitting import nearest_decoded, region_differences
from tests.helpers.network_models import generator as seeded
from tests.helpers.prior_examples import encoded, small_config
from tests.helpers.unknown_maps import repaint, write_bordered
from train.tools import fit_prior


def test_differences_are_those_of_each_class_region() -> None:
    label = torch.zeros(1, 4, 4, dtype=torch.long)
    label[:, :, 3:] = 2
    one = torch.zeros(1, 3, 4, 4)
    other = one.clone()
    other[:, :, 0, 3] = -0.8  # one of class 2's four pixels
    other[:, 1, :, :3] = 0.3  # one of the three colours
    torch.testing.assert_close(region_differences(one, other, label, 4), torch.tensor([[0.1, 0, 0.2, 0]]))


def test_of_each_class_the_nearest_decoded_count() -> None:
    shown = torch.tensor([[True, True], [True, False], [True, False], [True, False]])
    differences = torch.tensor([[0.4, 0.9], [0.1, 0.0], [0.3, 0.0], [0.2, 0.0]])
    codes = torch.zeros(4, 2, 1, 1, 1)
    batches = [(encoded(codes[:1]), shown[:1]), (encoded(codes[1:]), shown[1:])]
    parts = [differences[:1], differences[1:]]
    counted = [batch for _, batch in nearest_decoded(batches, parts, 0.5)]
    assert [len(batch) for batch in counted] == [1, 3]
    # Class 1 is shown by one picture, which counts however far it is; the others do not show it.
    assert torch.cat(counted).tolist() == [[False, True], [True, False], [False, False], [True, False]]


@pytest.mark.parametrize("fraction", [0.0, 1.01, -1, float("nan")])
def test_a_fraction_that_is_none_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match=r"nearest is .*; it must be a fraction, above 0 and at most 1"):
        GroupDNet(small_config(prior_codes=4)).fit_prior([], nearest=fraction)


def test_a_model_keeps_the_codes_that_it_decodes_nearest() -> None:
    model = GroupDNet(small_config(prior_codes=6)).eval()
    pairs = [draw_figure(seed, (32, 32)) for seed in range(6)]
    labels = torch.stack([torch.from_numpy(label).long() for _, label in pairs])
    images = torch.rand(6, 3, 32, 32, generator=seeded()) * 2 - 1
    with torch.inference_mode():
        posterior = model.encode(images, labels).mode()
        difference = (model.decode(posterior, labels) - images).abs().mean(dim=1)
    background = torch.stack(
        [value[label == 0].mean() for value, label in zip(difference, labels, strict=True)]
    )
    nearest = background.argsort()[:3].sort().values
    model.fit_prior([(images[:4], labels[:4]), (images[4:], labels[4:])], nearest=0.5)
    assert model.prior.count[0] == 3
    torch.testing.assert_close(model.prior.mean[0, :3], posterior[nearest, 0].flatten(1))
    model.fit_prior([(images, labels)])
    assert model.prior.count[0] == 6


@pytest.mark.parametrize("nearest", ["1", "0.5"])
def test_a_trained_model_keeps_what_it_ignores(tmp_path: Path, nearest: str) -> None:
    model, data = tmp_path / "model", tmp_path / "data"
    ignoring = LabelSet(FIGURE_LABELS.names, FIGURE_LABELS.palette, (255,))
    GroupDNet(GroupDNetConfig.for_labels(ignoring, (32, 32), 4)).save_pretrained(model)
    flags = ["--model", str(model), "--data_dir", str(data), "--prior_codes", "3", "--nearest", nearest]
    write_bordered(data, 3, (32, 32))
    fitted = []
    for number, name in enumerate(("one", "other")):
        repaint(data, number)
        with pytest.raises(ValueError, match=r"255 is not a class id.*--ignore_id 255"):
            fit_prior.main([*flags, "--output_dir", str(tmp_path / name)])
        fit_prior.main([*flags, "--ignore_id", "255", "--output_dir", str(tmp_path / name)])
        fitted.append(GroupDNet.from_pretrained(tmp_path / name))
        assert fitted[-1].config.ignore == (255,)
    state, other = (one.prior.state_dict() for one in fitted)
    assert all(torch.equal(value, other[key]) for key, value in state.items())
    assert state["count"].max() == (3 if nearest == "1" else 2)


def test_unknown_pixels_belong_to_no_code_and_show_no_class() -> None:
    model = GroupDNet(small_config(prior_codes=6)).eval()
    labels = torch.stack([torch.from_numpy(draw_figure(seed, (32, 32))[1]).long() for seed in range(4)])
    unknown = torch.zeros(4, 32, 32, dtype=torch.bool)
    unknown[:, 10:20] = True
    unknown[2] |= labels[2] == 1  # so that the third picture does not show this class
    images = torch.rand(4, 3, 32, 32, generator=seeded()) * 2 - 1
    others = torch.where(unknown[:, None], -images, images)
    with torch.inference_mode():
        posterior = model.encode(images.masked_fill(unknown[:, None], 0), labels).mode()
    shows = [bool((one[~other] == 1).any()) for one, other in zip(labels, unknown, strict=True)]
    assert shows.count(True) >= 2
    assert not shows[2]
    for nearest in (1.0, 0.5):
        kept = []
        for pictures in (images, others):
            model.fit_prior([{"image": pictures, "label": labels, "unknown": unknown}], nearest=nearest)
            kept.append({name: value.clone() for name, value in model.prior.state_dict().items()})
        assert all(torch.equal(value, kept[1][name]) for name, value in kept[0].items())
        assert model.prior.count[1] == (max(1, round(nearest * shows.count(True))))
    model.fit_prior([{"image": images, "label": labels, "unknown": unknown}])
    torch.testing.assert_close(
        model.prior.mean[1, : shows.count(True)], posterior[torch.tensor(shows), 1].flatten(1)
    )
