"""train.py with plain SGD, which has no flag: runs can be compared, where Adam makes whole steps of rounding errors."""

from __future__ import annotations

import dataclasses
import sys

from groupdnet_hub.training.config import parse_train_config
from train.train import run

if __name__ == "__main__":
    run(dataclasses.replace(parse_train_config(sys.argv[1:]), optimizer="sgd"))
