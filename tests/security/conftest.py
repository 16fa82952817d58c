"""A page that strangers may do their worst to."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.browser.conftest import serve
from tests.helpers.page_models import page_model, save_examples
from tests.helpers.strangers import Stranger

# Of the results of the human evaluation.
KEY = "correct horse battery staple"


@dataclass(frozen=True)
class OpenPage:
    """A page, and what it leaves on the disk.

    Attributes:
        address: where it is.
        model: the folder of its model.
        uploads: where its temporary files are.
        answers: the database of its human evaluation.
        log: what it has told.
    """

    address: str
    model: Path
    uploads: Path
    answers: Path
    log: Path


@pytest.fixture(scope="session")
def open_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenPage]:
    folder = tmp_path_factory.mktemp("strangers")
    page_model(size=(32, 32)).save_pretrained(folder / "model")
    save_examples(folder / "maps", size=(32, 32))
    (folder / "uploads").mkdir()
    page = OpenPage("", folder / "model", folder / "uploads", folder / "answers.sqlite3", folder / "log.txt")
    variables = {
        "GRADIO_TEMP_DIR": str(page.uploads),
        # How many calls there may be is tested elsewhere.
        "GROUPDNET_CALLS_PER_MINUTE": "0",
        # A test that uses up what an address has comes from one of its own.
        "GROUPDNET_PROXIES": "1",
        "GROUPDNET_EVALUATION_KEY": KEY,
        "GROUPDNET_EVALUATION_RATERS_PER_HOUR": "2",
    }
    with serve(page.model, folder / "maps", folder, **variables) as (address, _):
        yield OpenPage(address, page.model, page.uploads, page.answers, page.log)


@pytest.fixture
def stranger(open_page: OpenPage) -> Stranger:
    return Stranger(open_page.address)


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """Address of another server, which nobody has asked by the end of the test."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(BlockingIOError):  # no connection waits to be taken
            server.accept()
