"""A disk that is full under the page: visitors get sentences, nothing half-written is left, and then all goes on."""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from tests.browser.conftest import serve
from tests.helpers.page_models import page_model
from tests.helpers.sentences import is_sentence
from tests.helpers.small_disks import fill, mounted
from tests.helpers.strangers import Stranger

pytestmark = pytest.mark.slow
FILMS = [["current", "example 2", None, kind, False] for kind in ("gif", "mp4")]


class Page(NamedTuple):
    """A page whose temporary files and answers are on a small disk."""

    address: str
    disk: Path

    def files(self) -> set[Path]:
        """Return the files that hold anything, but for what fills the disk, and those of the database."""
        files = (path for path in self.disk.rglob("*") if path.is_file() and path.name != "filling")
        # gradio makes an empty one for every file of a call.
        found = (path for path in files if path.stat().st_size)
        return {path for path in found if not path.name.startswith("answers.sqlite3")}

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Leave no block free meanwhile, nor one of those that the page frees when it has done what it was at."""
        try:
            quiet = 0
            while quiet < 20:
                quiet = 0 if os.statvfs(self.disk).f_bavail else quiet + 1
                fill(self.disk)
                time.sleep(0.1)
            yield
        finally:
            (self.disk / "filling").unlink()


@pytest.fixture(scope="module")
def page(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("full")
    page_model().save_pretrained(folder / "model")
    with mounted(folder / "disk", 24) as disk:
        variables = {
            "GRADIO_TEMP_DIR": str(disk),
            "GROUPDNET_EVALUATION_ANSWERS": str(disk / "answers.sqlite3"),
        }
        with serve(folder / "model", examples, folder, **variables) as (address, _):
            # The first visitor's, so that all that the page itself writes is there.
            assert Stranger(address).call("/keep")[0]
            yield Page(address, disk)


def label_map() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((128, 128), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def refused(answer: tuple[bool, dict[str, str]]) -> str:
    done, told = answer
    assert not done, told
    assert is_sentence(told["error"]), told
    return told["error"]


def test_files_for_visitors_and_uploads(page: Page) -> None:
    visitor = Stranger(page.address)
    _, stored = visitor.upload(b"map.png", label_map())
    upload = {"path": json.loads(stored)[0], "meta": {"_type": "gradio.FileData"}}
    before = page.files()
    with page.full():
        for size in (100, 1 << 20):
            status, text = visitor.upload(b"large.png", bytes(size))
            assert status == 507
            assert json.loads(text)["detail"].startswith("The disk of the page's server is full")
        for call in (("/sample", 5), ("/open_map", upload, 3, False), ("/candidates", "hair", 1, False)):
            assert "cannot write files at the moment" in refused(visitor.call(*call))
        for film in FILMS:
            assert "cannot write files at the moment" in refused(visitor.call("/film", *film))
        assert "cannot write files at the moment" in refused(visitor.call("/save_work"))
        assert sorted(page.files() - before) == []
    assert visitor.upload(b"large.png", bytes(1 << 20))[0] == 200
    for call in (("/sample", 5), ("/save_work",), *(("/film", *film) for film in FILMS)):
        done, answer = visitor.call(*call)
        assert done, answer
    # What could not be shown was not done either.
    assert visitor.looks() == ["current"]


def numbers_of(config: dict[str, Any], shown: str) -> dict[str, int]:
    """Return the numbers of the events that change a component, by what they come from; "" is the page's opening."""
    names = {part["id"]: part["props"].get("elem_id") for part in config["components"]}
    return {
        names.get(target) or "": event["id"]
        for event in config["dependencies"]
        for target, _ in event["targets"]
        if shown in [names.get(part) for part in event["outputs"]]
    }


def test_answers_of_the_evaluation(page: Page) -> None:
    rater = Stranger(page.address)
    numbers = numbers_of(json.loads(rater.ask("/config")[1]), "question-map")
    done, output = rater.press(numbers[""], [""])
    assert done, output
    signed, question, told, *_ = output["data"]
    assert told.startswith("Question 1 of")
    with page.full():
        time.sleep(0.5)  # as a person looks
        answer = rater.press(numbers["answer-first"], [signed, question])
        assert refused(answer).startswith("Answers cannot be saved at the moment; earlier answers are safe.")
    done, output = rater.press(numbers["answer-first"], [signed, question])
    assert done, output
    assert output["data"][2].startswith("Question 2 of")


def test_the_page_itself_saves_work_and_opens_what_it_has(page: Page) -> None:
    """What a browser saves is in the answer itself, and on no disk; a look that is brought back is unpacked on one."""
    visitor = Stranger(page.address)
    numbers = numbers_of(json.loads(visitor.ask("/config")[1]), "keeper")
    assert visitor.press(numbers["save-work"], [None])[0]
    with page.full():
        done, output = visitor.press(numbers["save-work"], [None])
        assert done, output
        told = refused(visitor.call("/show", "example 2"))
        assert "cannot write files at the moment" in told
    assert visitor.call("/show", "example 2")[0]
