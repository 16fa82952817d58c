"""A small pipeline, and a session that has drawn its first picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from page.core import actions
from page.core.session import Session

from groupdnet_hub import GroupDNet, GroupDNetConfig, GroupDNetPipeline
from groupdnet_hub.data.figure_textures import FIGURE_LABELS


@pytest.fixture(scope="module")
def pipeline() -> GroupDNetPipeline:
    config = GroupDNetConfig.for_labels(FIGURE_LABELS, image_size=(64, 64), width=4)
    return GroupDNetPipeline(GroupDNet(config))


@pytest.fixture
def opened(pipeline: GroupDNetPipeline, examples: Path) -> Session:
    return actions.open_map(pipeline, Session(), examples / "example_01.png", 0)
