"""Settings of training: a dataclass for each subject, and :class:`TrainConfig` of all of them."""

from groupdnet_hub.training.config.train import ResolvedTrainConfig, TrainConfig, parse_train_config

__all__ = ["ResolvedTrainConfig", "TrainConfig", "parse_train_config"]
