"""Many clients at once: each gets its own session's results, none is lost, and memory does not grow."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from page.core import actions
from page.core import session as sessions
from page.core.memory.work_bytes import work_bytes
from page.core.session import CURRENT, Session
from page.core.studio import Studio
from PIL import Image

from groupdnet_hub import GroupDNetPipeline
from tests.browser.conftest import serve
from tests.helpers.resident_memory import resident_mib
from tests.helpers.shared_data import ROOT

pytestmark = pytest.mark.browser

CLIENTS = 16
SPACE = ROOT / "space"


class Visitor:
    """A client that does the same calls on a session of its own, and compares every answer with it."""

    def __init__(
        self, address: str, pipe: GroupDNetPipeline, studio: Studio, number: int, folder: Path
    ) -> None:
        from gradio_client import Client

        self.client = Client(address, verbose=False, download_files=str(folder), analytics_enabled=False)
        self.pipe, self.random = pipe, random.Random(number)
        # What the page opens with.
        path, seed = studio.opening[0]
        self.session = actions.open_map(pipe, Session(), studio.example(path), seed)
        self.classes = [name for name in sessions.current(self.session).classes if name != "background"]

    def calls(self, count: int) -> int:
        """Do some calls; how many gave what they must."""
        steps = (self.sample, self.reroll, self.keep, self.undo, self.show, self.mix, self.morph, self.looks)
        return sum(self.random.choice(steps)() for _ in range(count))

    def predict(self, name: str, *arguments: Any) -> bool:
        picture, _ = self.client.predict(*arguments, api_name=f"/{name}")
        shown = np.asarray(Image.open(picture).convert("RGB")).astype(int)
        expected = np.asarray(sessions.current(self.session).image).astype(int)
        return bool(np.abs(shown - expected).max() <= 1)

    def sample(self) -> bool:
        seed = self.random.randrange(1000)
        self.session = actions.sample(self.pipe, self.session, seed)
        return self.predict("sample", seed)

    def reroll(self) -> bool:
        seed, class_ = self.random.randrange(1000), self.random.choice(self.classes)
        self.session = actions.reroll(self.pipe, self.session, class_, seed)
        return self.predict("reroll", class_, seed, False)

    def keep(self) -> bool:
        self.session = sessions.keep(self.session)
        return self.predict("keep")

    def undo(self) -> bool:
        if not self.session.earlier:
            return self.sample()
        self.session = sessions.undo(self.session)
        return self.predict("undo")

    def show(self) -> bool:
        name = self.random.choice(self.session.names)
        self.session = sessions.take_back(self.session, name)
        return self.predict("show", name)

    def mix(self) -> bool:
        others = [kept for kept in self.session.shelf if kept.look is not self.session.look]
        if not others:
            return self.reroll()
        name = self.random.choice(others).name
        sources = {self.classes[0]: name}
        self.session = actions.mix(self.pipe, self.session, CURRENT, sources)
        return self.predict("mix", CURRENT, sources)

    def morph(self) -> bool:
        name, t = self.random.choice(self.session.names), self.random.choice((-0.5, 0.25, 1.5))
        self.session = actions.morph(self.pipe, self.session, name, CURRENT, t)
        return self.predict("morph", name, CURRENT, t, None)

    def looks(self) -> bool:
        own = [name for name in self.client.predict(api_name="/looks") if not name.startswith("example")]
        return own == self.session.names


class Held(NamedTuple):
    """What the server's process holds, and what of it is the visitors' work, in MiB: looks, kept for undo too.

    A page bounds that by itself (``GROUPDNET_SESSIONS_MIB``), so growth is what comes on top.
    """

    memory: float
    work: float

    @property
    def besides(self) -> float:
        return self.memory - self.work


def visit(
    server: tuple[str, int], model_folder: Path, examples: Path, folder: Path, *calls: int
) -> list[Held]:
    """All clients do so many calls each, then so many more; what is held after each part."""
    pytest.importorskip("gradio_client", reason="the endpoints need gradio")
    address, process = server
    pipe = GroupDNetPipeline.from_pretrained(model_folder)
    studio = Studio(str(model_folder), examples)
    visitors = [Visitor(address, pipe, studio, number, folder) for number in range(CLIENTS)]
    held = []
    with ThreadPoolExecutor(CLIENTS) as pool:
        for part in calls:
            right = list(pool.map(lambda visitor, n=part: visitor.calls(n), visitors))
            assert right == [part] * CLIENTS
            work = sum(work_bytes(visitor.session) or 0 for visitor in visitors)
            held.append(Held(resident_mib(process), work / 2**20))
    return held


@pytest.mark.slow
def test_sixteen_clients_at_once(
    page_server: tuple[str, int], model_folder: Path, examples: Path, tmp_path: Path
) -> None:
    visit(page_server, model_folder, examples, tmp_path, 4)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("calls", [32, 200])
def test_memory_does_not_grow(calls: int, tmp_path: Path) -> None:
    """``pytest -m slow -s tests/browser/test_load.py``: 512 calls, and 3,200, of the bundled model."""
    tenth = calls // 10
    with serve(None, None, tmp_path) as server:
        early, end = visit(server, SPACE / "model", SPACE / "examples", tmp_path, tenth, calls - tenth)
    for held, done in ((early, tenth), (end, calls)):
        print(
            f"{held.memory:.0f} MiB after {CLIENTS * done} calls, {held.work:.0f} of them the visitors' looks"
        )
    assert end.besides < 1.05 * early.besides


@pytest.mark.slow
def test_a_full_queue_says_so(page_address: str, tmp_path: Path) -> None:
    gradio_client = pytest.importorskip("gradio_client", reason="the endpoints need gradio")
    client = gradio_client.Client(
        page_address, verbose=False, download_files=str(tmp_path), analytics_enabled=False
    )
    jobs = [client.submit(seed, api_name="/sample") for seed in range(80)]
    messages = []
    for job in jobs:
        try:
            assert job.result(timeout=120)[1].startswith("Drawn with seed")
        except Exception as error:
            messages.append(str(error))
    assert 0 < len(messages) <= 80 - 32
    assert all("ueue is full" in text and "/" not in text for text in messages), messages[0]
    assert client.predict(5, api_name="/sample")[1] == "Drawn with seed 5."
