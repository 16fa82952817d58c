"""The prior of the codes: N(0, 1), or one that is fitted to the codes of real pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from groupdnet_hub import GroupDNet, GroupDNetPipeline
from groupdnet_hub.data.figure_drawing import draw_figure
from groupdnet_hub.figures import write_figures
from groupdnet_hub.models.prior import make_prior
from tests.helpers.network_models import generator as seeded
from tests.helpers.prior_examples import encoded, small_config
from tests.helpers.script_runs import run_script
from tests.helpers.shared_data import ROOT

SHAPE = (3, 2, 2, 2)


def correlated_codes(count: int) -> tuple[Tensor, Tensor]:
    """Codes whose class 0 lies along one direction, whose class 1 is N(2, 0.5), and no picture of class 2."""
    codes = torch.randn(count, *SHAPE, generator=seeded(1))
    codes[:, 0] = 3 * torch.randn(count, 1, 1, 1, generator=seeded(2)) + 0.1 * codes[:, 0]
    codes[:, 1] = 2 + 0.5 * codes[:, 1]
    shown = torch.ones(count, SHAPE[0], dtype=torch.bool)
    shown[:, 2] = False
    shown[: count // 2, 1] = False
    codes[: count // 2, 1] = 1000  # must not count: those pictures do not show the class
    return codes, shown


def test_by_default_it_is_standard_normal() -> None:
    prior = make_prior(SHAPE)
    codes = prior.sample(5, generator=seeded())
    assert torch.equal(codes, torch.randn(5, *SHAPE, generator=seeded()))
    assert prior.sample(1, generator=seeded(), spatial=(3, 5)).shape == (1, 3, 2, 3, 5)
    assert list(prior.state_dict()) == []
    with pytest.raises(ValueError, match="prior_rank or prior_codes"):
        prior.fit([])


@pytest.mark.parametrize("kind", [{"rank": 2}, {"codes": 5}])
def test_before_it_is_fitted_it_is_standard_normal(kind: dict[str, int]) -> None:
    codes = make_prior(SHAPE, **kind).sample(20_000, generator=seeded())
    torch.testing.assert_close(codes.mean(0), torch.zeros(SHAPE), atol=0.05, rtol=0)
    torch.testing.assert_close(codes.std(0), torch.ones(SHAPE), atol=0.05, rtol=0)


def test_fitted_codes_are_distributed_as_the_pictures_are() -> None:
    codes, shown = correlated_codes(4000)
    prior = make_prior(SHAPE, rank=8)
    prior.fit((encoded(codes[i : i + 500]), shown[i : i + 500]) for i in range(0, 4000, 500))
    drawn = prior.sample(20_000, generator=seeded(3)).flatten(2)
    real = codes.flatten(2)
    covariance = torch.cov(drawn[:, 0].T)
    torch.testing.assert_close(covariance, torch.cov(real[:, 0].T), atol=0.4, rtol=0)  # about 9 everywhere
    assert covariance.min() > 8
    torch.testing.assert_close(drawn[:, 1].mean(0), torch.full((8,), 2.0), atol=0.05, rtol=0)
    torch.testing.assert_close(drawn[:, 1].std(0), torch.full((8,), 0.5), atol=0.05, rtol=0)
    torch.testing.assert_close(drawn[:, 2].std(0), torch.ones(8), atol=0.05, rtol=0)  # shown by no picture


def test_few_directions_keep_the_main_ones() -> None:
    codes, shown = correlated_codes(4000)
    prior = make_prior(SHAPE, rank=1)
    prior.fit([(encoded(codes), shown)])
    drawn = prior.sample(20_000, generator=seeded(3)).flatten(2)
    torch.testing.assert_close(drawn[:, 0].std(0), torch.full((8,), 3.0), atol=0.15, rtol=0)
    torch.testing.assert_close(drawn[:, 0, 0], drawn[:, 0, 7], atol=0.3, rtol=0)  # all along one direction


def test_kept_codes_are_those_of_pictures() -> None:
    """Of many pictures so many are kept, evenly over all; each is drawn about as often as any other."""
    codes, shown = correlated_codes(4000)
    prior = make_prior(SHAPE, codes=100)
    prior.fit((encoded(codes[i : i + 500]), shown[i : i + 500]) for i in range(0, 4000, 500))
    drawn = prior.sample(20_000, generator=seeded(3))
    for class_id in (0, 1):
        flat = codes[shown[:, class_id], class_id].flatten(1)
        whose = torch.cdist(
            drawn[:2000, class_id].flatten(1), flat, compute_mode="donot_use_mm_for_euclid_dist"
        ).min(dim=1)
        assert whose.values.max() < 1e-4
        assert 90 < len(whose.indices.unique()) <= 100
        early = (whose.indices < len(flat) // 2).float().mean()
        assert 0.35 < early < 0.65
        kept, times = drawn[:, class_id].flatten(1).unique(dim=0, return_counts=True)
        assert len(kept) == 100
        assert 100 < times.min() < 200 < times.max() < 300
    torch.testing.assert_close(drawn[:, 2].std(0), torch.ones(SHAPE[1:]), atol=0.05, rtol=0)  # no picture
    again = make_prior(SHAPE, codes=100)
    again.fit([(encoded(codes), shown)])
    assert torch.equal(again.mean, prior.mean)  # whatever the batches


def test_kept_codes_are_drawn_as_uncertain_as_the_posteriors_are() -> None:
    codes = torch.randn(1, *SHAPE, generator=seeded(1))
    prior = make_prior(SHAPE, codes=4)
    prior.fit([(encoded(codes, std=0.3), torch.ones(1, SHAPE[0], dtype=torch.bool))])
    assert prior.count.tolist() == [1, 1, 1]  # fewer pictures than places
    drawn = prior.sample(20_000, generator=seeded())
    torch.testing.assert_close(drawn.mean(0), codes[0], atol=0.02, rtol=0)
    torch.testing.assert_close(drawn.std(0), torch.full(SHAPE, 0.3), atol=0.02, rtol=0)


def test_a_count_from_a_strange_file_chooses_what_is_there() -> None:
    prior = make_prior(SHAPE, codes=4)
    for count in (1e4, -3, float("nan"), float("inf")):
        prior.count.fill_(count)
        assert prior.sample(50, generator=seeded()).isfinite().all()


@pytest.mark.parametrize("kind", [{"rank": 2}, {"codes": 5}])
def test_codes_for_another_size_are_stretched(kind: dict[str, int]) -> None:
    prior = make_prior(SHAPE, **kind)
    codes, shown = correlated_codes(200)
    prior.fit([(encoded(codes), shown)])
    wide = prior.sample(2, generator=seeded(), spatial=(2, 6))
    assert wide.shape == (2, 3, 2, 2, 6)
    torch.testing.assert_close(wide[..., ::5], prior.sample(2, generator=seeded()))


def test_a_model_keeps_its_fitted_prior(tmp_path: Path) -> None:
    model = GroupDNet(small_config(prior_rank=4))
    pairs = [draw_figure(seed, (32, 32)) for seed in range(6)]
    labels = torch.stack([torch.from_numpy(label).long() for _, label in pairs])
    images = torch.rand(6, 3, 32, 32, generator=seeded()) * 2 - 1
    fresh = model.sample_codes(2, generator=seeded())
    model.train()
    model.fit_prior([(images[:3], labels[:3]), (images[3:], labels[3:])])
    assert model.training
    fitted = model.eval().sample_codes(2, generator=seeded())
    assert not torch.allclose(fresh, fitted)
    posterior = model.encode(images, labels).mode()
    torch.testing.assert_close(model.prior.mean[0].view(posterior.shape[2:]), posterior[:, 0].mean(0))

    model.save_pretrained(tmp_path)
    assert (
        "fitted to the codes of the training pictures (4 principal directions)"
        in (tmp_path / "README.md").read_text()
    )
    loaded = GroupDNet.from_pretrained(tmp_path)
    assert torch.equal(loaded.sample_codes(2, generator=seeded()), fitted)
    look = GroupDNetPipeline(loaded).sample(labels[0].numpy(), seed=0)
    assert torch.equal(look.codes.tensor, loaded.sample_codes(1, generator=seeded(0))[0])

    plain = loaded.with_prior()
    assert plain.config == small_config()
    assert torch.equal(
        plain.sample_codes(generator=seeded()), torch.randn(1, *plain.config.code_shape, generator=seeded())
    )
    assert torch.equal(plain.decode(fitted, labels[:2]), loaded.decode(fitted, labels[:2]))


def test_a_model_keeps_the_codes_of_pictures(tmp_path: Path) -> None:
    model = GroupDNet(small_config(prior_codes=4)).eval()
    pairs = [draw_figure(seed, (32, 32)) for seed in range(6)]
    labels = torch.stack([torch.from_numpy(label).long() for _, label in pairs])
    images = torch.rand(6, 3, 32, 32, generator=seeded()) * 2 - 1
    model.fit_prior([(images, labels)])
    assert model.prior.count[0] == 4
    fitted = model.sample_codes(2, generator=seeded())
    model.save_pretrained(tmp_path)
    assert "a training picture that is chosen among up to 4" in (tmp_path / "README.md").read_text()
    loaded = GroupDNet.from_pretrained(tmp_path)
    assert torch.equal(loaded.sample_codes(2, generator=seeded()), fitted)
    other = loaded.with_prior(rank=2)
    assert other.config == small_config(prior_rank=2)
    assert torch.equal(other.decode(fitted, labels[:2]), loaded.decode(fitted, labels[:2]))


def test_two_priors_at_once_are_refused() -> None:
    with pytest.raises(ValueError, match="prior_rank is 2 and prior_codes 3: a model has one prior"):
        small_config(prior_rank=2, prior_codes=3)
    with pytest.raises(ValueError, match="prior_codes is 5000; it must be a whole number from 0 to 2048"):
        small_config(prior_codes=5000)


def test_a_rank_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="prior_rank is 999; it must be a whole number from 0 to 128"):
        small_config(prior_rank=999)


def test_drawing_without_a_generator_leaves_the_global_one_alone() -> None:
    model = GroupDNet(small_config())
    before = torch.random.get_rng_state()
    assert not torch.equal(model.sample_codes(), model.sample_codes())
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("kind", ["prior_rank", "prior_codes"])
def test_the_command_gives_a_saved_model_a_prior(kind: str, tmp_path: Path) -> None:
    write_figures(tmp_path / "drawn", 6, size=(32, 32))
    GroupDNet(small_config()).to(torch.float16).save_pretrained(tmp_path / "plain")
    command = ["--data_dir", str(tmp_path / "drawn")]
    command += [
        "--model",
        str(tmp_path / "plain"),
        f"--{kind}",
        "3",
        "--nearest",
        "0.5",
        "--output_dir",
        str(tmp_path / "fitted"),
    ]
    done = run_script(ROOT / "train" / "tools" / "fit_prior.py", command)
    assert done.returncode == 0, done.stderr[-2000:]
    plain, fitted = (GroupDNet.from_pretrained(tmp_path / name, dtype="auto") for name in ("plain", "fitted"))
    assert fitted.dtype == torch.float16
    assert fitted.config == small_config(**{kind: 3})
    kept = plain.state_dict()
    assert all(torch.equal(value, kept[key]) for key, value in fitted.state_dict().items() if key in kept)
    assert fitted.prior.mean.abs().max() > 0
