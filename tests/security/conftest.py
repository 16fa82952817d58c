"""A page that strangers may do their worst to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.browser.conftest import serve
from tests.helpers.page_models import page_model
from tests.helpers.strangers import Stranger


@dataclass(frozen=True)
class OpenPage:
    """A page, and what it leaves on the disk.

    Attributes:
        address: where it is.
        model: the folder of its model.
        uploads: its temporary files.
        answers: the database of its human evaluation.
        log: what it has told.
    """

    address: str
    model: Path
    uploads: Path
    answers: Path
    log: Path


@pytest.fixture(scope="session")
def open_page(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenPage]:
    folder = tmp_path_factory.mktemp("strangers")
    page_model().save_pretrained(folder / "model")
    (folder / "uploads").mkdir()
    page = OpenPage("", folder / "model", folder / "uploads", folder / "answers.sqlite3", folder / "log.txt")
    # How many calls there may be is tested elsewhere.
    variables = {"GRADIO_TEMP_DIR": str(page.uploads), "GROUPDNET_CALLS_PER_MINUTE": "0"}
    with serve(page.model, examples, folder, **variables) as (address, _):
        yield OpenPage(address, page.model, page.uploads, page.answers, page.log)


@pytest.fixture
def stranger(open_page: OpenPage) -> Stranger:
    return Stranger(open_page.address)
