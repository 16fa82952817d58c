"""What the tests of evaluate.py and compare_models.py share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

pytest.importorskip("accelerate")
from groupdnet_hub import GroupDNet
from tests.helpers.evaluate_runs import make_inputs
from tests.helpers.processes import process_as_it_was


@pytest.fixture(autouse=True)
def _process_as_it_was() -> Iterator[None]:
    with process_as_it_was():
        yield


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What :func:`make_inputs` writes, and ``other``, a model with larger weights; not to be written to."""
    folder = make_inputs(tmp_path_factory.mktemp("inputs"))
    other = GroupDNet.from_pretrained(folder / "model")
    with torch.no_grad():
        for value in other.parameters():
            value.mul_(1.5)
    other.save_pretrained(folder / "other")
    return folder
