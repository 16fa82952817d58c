"""Classes whose fresh codes come from one picture: samples keep what goes together, a redraw is of one class alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from groupdnet_hub import GroupDNet, GroupDNetConfig, GroupDNetPipeline, LabelSet, grow, transfer_classes
from groupdnet_hub.data.figure_drawing import draw_figure
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.figures import write_figures
from groupdnet_hub.models.encoder import Gaussian
from groupdnet_hub.models.prior import EmpiricalPrior, make_prior
from tests.helpers.command_lines import refusal
from tests.helpers.script_runs import Ended, run_script
from tests.helpers.shared_data import ROOT

pytest.importorskip("accelerate")
from groupdnet_hub.training.config import parse_train_config
from groupdnet_hub.training.config.network import read_ties
from groupdnet_hub.training.prior_fitting import nearest_decoded

# Hair, face and skin of four classes.
SHAPE = (4, 2, 2, 2)
TIED = (("face", "skin"),)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tied_config(**fields: Any) -> GroupDNetConfig:
    return GroupDNetConfig.for_labels(
        FIGURE_LABELS, (32, 32), 4, **{"prior_codes": 6, "prior_ties": TIED} | fields
    )


def tones(count: int) -> tuple[Gaussian, Tensor]:
    """Pictures whose classes 1 and 3 have one tone, that of the picture; each lacks some class."""
    tone = torch.randn(count, 1, 1, 1, 1, generator=seeded(1))
    codes = torch.randn(count, *SHAPE, generator=seeded(2))
    codes[:, [1, 3]] = tone
    shown = torch.rand(count, SHAPE[0], generator=seeded(3)) < 0.7
    codes[~shown] = 1000  # must not count
    return Gaussian(codes, torch.full_like(codes, -torch.inf)), shown


def correlation(codes: Tensor, one: int, other: int) -> float:
    means = codes.flatten(2).mean(dim=2).T
    return float(torch.corrcoef(means[[one, other]])[0, 1])


def test_samples_keep_the_correlation_with_the_tie_and_not_without() -> None:
    posterior, shown = tones(300)
    parts = zip(posterior.mean.split(50), posterior.logvar.split(50), shown.split(50), strict=True)
    batches = [(Gaussian(mean, logvar), of_part) for mean, logvar, of_part in parts]
    tied, untied = make_prior(SHAPE, codes=64, ties=[(1, 3)]), make_prior(SHAPE, codes=64)
    for prior in (tied, untied):
        prior.fit(batches)
    samples = tied.sample(2000, generator=seeded(5))
    assert correlation(samples, 1, 3) > 0.999
    assert abs(correlation(samples, 0, 1)) < 0.1
    assert samples.abs().max() < 10, "codes of pictures that do not show the class are not kept"
    assert len(samples[:, 1].flatten(1).unique(dim=0)) == 64
    assert abs(correlation(untied.sample(2000, generator=seeded(5)), 1, 3)) < 0.3


def test_without_ties_nothing_changes() -> None:
    posterior, shown = tones(200)
    plain, empty = make_prior(SHAPE, codes=8), make_prior(SHAPE, codes=8, ties=[])
    tied = make_prior(SHAPE, codes=8, ties=[(1, 3)])
    for prior in (plain, empty, tied):
        prior.fit([(posterior, shown)])
    assert torch.equal(plain.sample(4, generator=seeded(1)), empty.sample(4, generator=seeded(1)))
    assert list(plain.state_dict()) == list(tied.state_dict()), "a file holds the same tensors"


def test_nearest_pictures_are_chosen_for_the_whole_tie() -> None:
    """Class 1 is decoded best in the first pictures, class 3 in the last: those in the middle are best on average."""
    shown = torch.ones(6, 4, dtype=torch.bool)
    shown[2, 3] = False
    differences = torch.ones(6, 4)
    differences[:, 1] = torch.tensor([0.0, 0.1, 0.0, 0.2, 0.3, 0.9])
    differences[:, 3] = torch.tensor([0.9, 0.3, 0.0, 0.1, 0.1, 0.0])
    before = differences.clone()
    posterior = Gaussian(torch.zeros(6, *SHAPE), torch.zeros(6, *SHAPE))
    ((_, counted),) = nearest_decoded([(posterior, shown)], [differences], 0.6, [(1, 3)])
    assert counted[:, 1].tolist() == counted[:, 3].tolist() == [False, True, False, True, True, False]
    assert torch.equal(differences, before)


def figures() -> tuple[Tensor, Tensor]:
    labels = torch.stack([torch.from_numpy(draw_figure(seed, (32, 32))[1]).long() for seed in range(8)])
    return torch.rand(8, 3, 32, 32, generator=seeded()) * 2 - 1, labels


def from_one_picture(prior: EmpiricalPrior, posterior: Tensor) -> bool:
    """Whether the k-th codes of face and skin are of one picture, for all k."""
    ids = [FIGURE_LABELS.id_of(name) for name in TIED[0]]
    count = int(prior.count[ids[0]])
    whose = [torch.cdist(prior.mean[i, :count], posterior[:, i].flatten(1)).argmin(dim=1) for i in ids]
    return torch.equal(*whose)


@pytest.mark.parametrize("nearest", [1.0, 0.6])
def test_a_model_keeps_its_ties(nearest: float, tmp_path: Path) -> None:
    model = GroupDNet(tied_config()).eval()
    images, labels = figures()
    model.fit_prior([(images[:4], labels[:4]), (images[4:], labels[4:])], nearest=nearest)
    with torch.no_grad():
        assert from_one_picture(model.prior, model.encode(images, labels).mode())
    model.save_pretrained(tmp_path)
    assert "Those of face and skin come from one picture." in (tmp_path / "README.md").read_text()
    loaded = GroupDNet.from_pretrained(tmp_path)
    assert loaded.config == model.config == GroupDNetConfig.from_json(model.config.to_json())
    assert torch.equal(
        loaded.sample_codes(9, generator=seeded(2)), model.sample_codes(9, generator=seeded(2))
    )


def test_a_redraw_is_of_one_class_alone() -> None:
    model = GroupDNet(tied_config()).eval()
    images, labels = figures()
    model.fit_prior([(images, labels)])
    face, skin = (FIGURE_LABELS.id_of(name) for name in ("face", "skin"))
    codes = model.sample_codes(generator=seeded(0))
    others = [i for i in range(8) if i != skin]
    redrawn = [model.redraw(codes, skin, generator=seeded(seed)) for seed in range(1, 9)]
    assert all(torch.equal(one[:, others], codes[:, others]) for one in redrawn)
    assert len(torch.cat(redrawn)[:, skin].flatten(1).unique(dim=0)) == 8
    pipe = GroupDNetPipeline(model)
    look = pipe.sample(labels[0].numpy(), seed=0)
    again = pipe.reroll(look, "skin", seed=4)
    assert torch.equal(again.codes.tensor[face], look.codes.tensor[face])
    assert not torch.equal(again.codes.tensor[skin], look.codes.tensor[skin])


def test_a_tie_that_no_picture_shows_is_refused() -> None:
    model = GroupDNet(tied_config())
    images, labels = figures()
    face, skin = (FIGURE_LABELS.id_of(name) for name in ("face", "skin"))
    labels[:4][labels[:4] == face], labels[4:][labels[4:] == skin] = 0, 0
    with pytest.raises(ValueError, match="no picture shows face and skin together"):
        model.fit_prior([(images, labels)])


def test_grown_and_transferred_models_carry_what_ties_they_can() -> None:
    model = GroupDNet(tied_config(prior_ties=(("hair", "skin", "face"),))).eval()
    images, labels = figures()
    model.fit_prior([(images, labels)])
    posterior = model.encode(images, labels).mode().detach()
    assert grow(model).config.prior_ties == model.config.prior_ties
    names = ["hair", "top-clothes", "face", "skin", "hat"]
    reordered, _ = transfer_classes(model, LabelSet.from_names(names))
    assert reordered.config.prior_ties == (("hair", "skin", "face"),)
    codes = reordered.sample_codes(5, generator=seeded(1)).flatten(2)
    whose = [
        torch.cdist(
            reordered.prior.mean[names.index(name)], posterior[:, FIGURE_LABELS.id_of(name)].flatten(1)
        ).argmin(1)
        for name in ("hair", "skin", "face")
    ]
    assert torch.equal(whose[0], whose[1])
    assert torch.equal(whose[0], whose[2])
    assert codes.isfinite().all()
    without_hair, _ = transfer_classes(model, LabelSet.from_names(names[1:]))
    assert without_hair.config.prior_ties == (("skin", "face"),)
    alone, _ = transfer_classes(model, LabelSet.from_names(["face", "top-clothes"]))
    assert alone.config.prior_ties == ()


def test_another_prior_keeps_or_drops_the_ties() -> None:
    model = GroupDNet(tied_config())
    assert model.with_prior(codes=3).config.prior_ties == TIED
    assert model.with_prior(codes=3).prior.ties == model.prior.ties != ()
    assert model.with_prior(codes=3, ties=()).config.prior_ties == ()
    assert model.with_prior(rank=2).config == tied_config(prior_codes=0, prior_ties=(), prior_rank=2)
    assert model.with_prior().config.prior_ties == ()
    older = tied_config(prior_ties=()).to_dict()
    del older["prior_ties"]
    assert GroupDNetConfig.from_dict(older) == tied_config(prior_ties=())


@pytest.mark.parametrize(
    ("ties", "message"),
    [
        ([["face", "tail"]], "prior_ties holds 'tail', which is not one of the model's classes"),
        ([["face", "skin"], ["hair", "face"]], "prior_ties holds 'face' twice"),
        ([["face", "face"]], "prior_ties holds 'face' twice"),
        ([["face"]], "a tie names at least two classes"),
        ([[]], "a tie names at least two classes"),
        (["face", "skin"], "a tie of prior_ties is 'face'; it must be a list"),
        ("face+skin", "it must be a list"),
        ([[1, 2]], "prior_ties holds 1, which is not one"),
        ([[["face"], ["skin"]]], "which is not one of the model's classes"),
        ([["face", "skin"] * 500_000], "prior_ties holds 'face' twice"),
        ([["face", "x" * 1_000_000]], "which is not one of the model's classes"),
    ],
)
def test_ties_that_cannot_be_are_refused(ties: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        tied_config(prior_ties=ties)
    assert len(str(refused.value)) < 300
    values = tied_config().to_dict() | {"prior_ties": ties}
    with pytest.raises(ValueError, match=message):
        GroupDNetConfig.from_dict(values)


def test_ties_without_kept_codes_are_refused() -> None:
    with pytest.raises(ValueError, match="prior_ties needs prior_codes"):
        tied_config(prior_codes=0)
    with pytest.raises(ValueError, match="prior_ties needs prior_codes"):
        tied_config(prior_codes=0, prior_rank=2)
    folder = ["--train_data_dir", str(ROOT), "--prior_ties", "face+skin"]
    for more in (["--prior_codes", "0"], ["--prior_rank", "2"]):
        assert "--prior_ties needs --prior_codes" in refusal(parse_train_config, [*folder, *more])


def test_ties_on_the_command_line_and_in_a_file(tmp_path: Path) -> None:
    assert read_ties(None) is None
    assert read_ties(["face+skin", "top + skirt"]) == (("face", "skin"), ("top", "skirt"))
    file = tmp_path / "flags.json"
    file.write_text(f'{{"train_data_dir": "{tmp_path}", "prior_ties": "face+skin", "prior_codes": 4}}')
    assert read_ties(parse_train_config(["--args_file", str(file)]).prior_ties) == (("face", "skin"),)


def test_the_command_gives_a_saved_model_ties(tmp_path: Path) -> None:
    write_figures(tmp_path / "drawn", 6, size=(32, 32))
    GroupDNet(tied_config(prior_codes=0, prior_ties=())).save_pretrained(tmp_path / "plain")
    command = ["--data_dir", str(tmp_path / "drawn")]
    command += ["--model", str(tmp_path / "plain"), "--output_dir", str(tmp_path / "fitted")]

    def run(*flags: str) -> Ended:
        return run_script(ROOT / "train" / "tools" / "fit_prior.py", [*command, *flags])

    refused = run("--prior_rank", "2", "--prior_ties", "face+skin")
    assert refused.returncode == 2
    assert "--prior_ties needs --prior_codes" in refused.stderr
    done = run("--prior_codes", "4", "--prior_ties", "face+skin")
    assert done.returncode == 0, done.stderr[-2000:]
    fitted = GroupDNet.from_pretrained(tmp_path / "fitted")
    assert fitted.config.prior_ties == TIED
    assert fitted.prior.ties
