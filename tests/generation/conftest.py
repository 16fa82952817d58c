"""What the tests of generate.py share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("accelerate")
from tests.helpers.generate_runs import make_inputs
from tests.helpers.processes import process_as_it_was


@pytest.fixture(autouse=True)
def _process_as_it_was() -> Iterator[None]:
    with process_as_it_was():
        yield


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``model``, ``maps/train`` (a paired data set) and ``gallery/train``; not to be written to."""
    return make_inputs(tmp_path_factory.mktemp("inputs"))
