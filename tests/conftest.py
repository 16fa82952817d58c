"""Fixtures that tests of several folders use."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from groupdnet_hub.figures import write_figures
from tests.helpers.page_models import save_examples


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve drawn label maps in ``FIGURE_LABELS``, of 128x128, for small models of the page."""
    folder = tmp_path_factory.mktemp("examples")
    save_examples(folder)
    return folder


def pytest_configure() -> None:
    """One thread, as the processes that tests start have: how a sum is split over threads shows in its rounding."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to train on, of eight drawn people of 32x32; not to be written to."""
    folder = tmp_path_factory.mktemp("drawn")
    write_figures(folder, 8, size=(32, 32))
    return folder


@pytest.fixture(scope="session")
def random_vgg16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VGG16 trunk with random weights: its arithmetic, without a download."""
    torchvision = pytest.importorskip("torchvision")
    with torch.random.fork_rng(devices=[]):
        trunk = torchvision.models.vgg16(weights=None).features[:26].state_dict()
    generator = torch.Generator().manual_seed(0)
    path = tmp_path_factory.mktemp("vgg") / "vgg16.safetensors"
    random = {f"features.{k}": 0.05 * torch.randn(v.shape, generator=generator) for k, v in trunk.items()}
    save_file(random, path)
    return path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figure of the README's table of promises."""
    hostile_files = sys.modules.get("tests.helpers.hostile_files")
    if hostile_files is not None and hostile_files.refused_files:
        count = hostile_files.refused_files
        terminalreporter.write_line(
            f"{count} hostile files refused, each within a second, and nothing executed"
        )


@pytest.fixture(autouse=True)
def _global_random_state_stays() -> object:
    """Nothing in the package draws from, or seeds, the global generators."""
    before = torch.random.get_rng_state()
    yield
    # Training code may draw data order from its own generators, never from this one.
    assert torch.equal(before, torch.random.get_rng_state()), "the test changed torch's global random state"
