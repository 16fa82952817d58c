"""What a run's settings leave to the system that is trained, and what is refused of settings made in code."""

from __future__ import annotations

import dataclasses

import pytest

from groupdnet_hub.training.config import TrainConfig
from groupdnet_hub.training.config.rates import RATES

HERE = (".",)


@pytest.mark.parametrize("objective", RATES)
def test_rates_and_weights_are_the_objectives_unless_they_are_given(objective: str) -> None:
    rates = RATES[objective]
    left_open = TrainConfig(train_data_dir=HERE)
    resolved = left_open.resolved(objective, 1)
    assert (resolved.learning_rate, resolved.discr_learning_rate) == (rates.generator, rates.discriminator)
    weights = resolved.kl_weight, resolved.l1_weight, resolved.feature_matching_weight
    assert weights == (rates.kl_weight, rates.l1_weight, rates.feature_matching_weight)
    assert left_open.learning_rate is None, "the settings themselves stay as they are"
    given = dataclasses.replace(left_open, learning_rate=0.5, kl_weight=0.0).resolved(objective, 1)
    assert (given.learning_rate, given.kl_weight) == (0.5, 0.0)


@pytest.mark.parametrize(("processes", "parts"), [(1, 4), (2, 2), (4, 1), (8, 1)])
def test_batch_norms_that_are_not_synchronised_are_those_of_four_devices(processes: int, parts: int) -> None:
    settings = TrainConfig(train_data_dir=HERE, model="GroupDNet-without-SyncBN", train_batch_size=2)
    resolved = settings.resolved("hinge", processes)
    assert (resolved.sync_batch_norm, resolved.batch_norm_parts) == (False, parts)
    synchronised = TrainConfig(train_data_dir=HERE).resolved("hinge", processes)
    assert (synchronised.sync_batch_norm, synchronised.batch_norm_parts) == (True, 1)
    asked = dataclasses.replace(settings, batch_norm_parts=2).resolved("hinge", processes)
    assert asked.batch_norm_parts == 2


def test_settings_made_in_code_are_checked_as_flags_are() -> None:
    with pytest.raises(ValueError, match="name the data"):
        TrainConfig()
    with pytest.raises(ValueError, match="--batch_norm_parts 3 does not divide --train_batch_size 8"):
        TrainConfig(train_data_dir=HERE, batch_norm_parts=3)
    with pytest.raises(ValueError, match="--labelmix_weight needs --discriminator segmentation"):
        dataclasses.replace(TrainConfig(train_data_dir=HERE), labelmix_weight=1.0)
    with pytest.raises(ValueError, match="--push_to_hub and --hub_model_id user/name belong together"):
        TrainConfig(train_data_dir=HERE, push_to_hub=True)
