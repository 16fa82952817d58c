"""Work that is saved comes back to the bit, and what comes from elsewhere is checked before it is used."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import app
import gradio as gr
import numpy as np
import pytest
import torch
from page.core import actions
from page.core import session as sessions
from page.core.memory import saved_work, shelf
from page.core.memory.model_identity import ModelIdentity
from page.core.memory.opened_files import OpenedFile, open_file
from page.core.memory.picture_files import look_of_picture, picture_file
from page.core.memory.saved_work import WORK_FILE, read_files, read_work, work_of
from page.core.session import MAX_SEED, Session
from page.core.studio import Studio
from page.ui import endpoints
from page.ui.memory.keeping import kept_work
from PIL import Image

from groupdnet_hub import GroupDNet, GroupDNetConfig, GroupDNetPipeline, Look
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.io.archives import archive_of, files_in

MODEL = ModelIdentity("model, 8 classes, 64x64", "a" * 64)
OTHER = ModelIdentity("other, 8 classes, 64x64", "b" * 64)


@pytest.fixture
def worked(pipeline: GroupDNetPipeline, opened: Session) -> Session:
    """Make a session with a step to undo, one to redo, two kept looks and a lock."""
    made = sessions.keep(
        replace(opened, bundled=(sessions.ShelfItem("example 1", sessions.packed(opened.look)),))
    )
    for seed in (1, 2, 3):
        made = actions.sample(pipeline, made, seed)
    made = shelf.rename(sessions.keep(made), 0, "red <b>coat</b>")
    made = shelf.move(sessions.undo(made), 1, 0)
    return sessions.lock(made, FIGURE_LABELS, ["hair"])


@pytest.fixture
def config(pipeline: GroupDNetPipeline) -> GroupDNetConfig:
    return pipeline.model.config


@pytest.fixture
def saved(worked: Session) -> bytes:
    return work_of(worked).to_bytes(MODEL)


def keys(session: Session) -> list[str]:
    return [look.key for look in sessions.history(session)]


def reread(archive: bytes, start: Session, config: GroupDNetConfig) -> Session:
    files = files_in(archive, "work", most_files=200, most_bytes=2**26)
    return read_work(*read_files(files), start, MODEL, config)


def test_work_comes_back_to_the_bit(
    worked: Session, saved: bytes, opened: Session, config: GroupDNetConfig
) -> None:
    back = reread(saved, replace(opened, bundled=worked.bundled, work="new"), config)
    assert keys(back) == keys(worked)
    one, other = sessions.current(back), sessions.current(worked)
    assert one.seed == other.seed == 2
    assert np.array_equal(np.asarray(one.image), np.asarray(other.image))
    assert np.array_equal(one.mask, other.mask)
    assert torch.equal(one.codes.tensor, other.codes.tensor)
    assert keys(sessions.redo(back)) == keys(sessions.redo(worked))
    assert [(item.name, item.packed.key) for item in back.shelf] == [
        (item.name, item.packed.key) for item in worked.shelf
    ]
    assert [item.name for item in back.shelf] == ["look 2", "red <b>coat</b>"]
    assert (back.locked, back.looks_so_far, back.work) == (("hair",), 2, "new")
    assert sessions.keep(back).shelf[-1].name == "look 3"


def test_the_file_is_looks_that_python_loads(saved: bytes, worked: Session, tmp_path: Path) -> None:
    (tmp_path / "work.zip").write_bytes(saved)
    with zipfile.ZipFile(tmp_path / "work.zip") as archive:
        archive.extractall(tmp_path)
    facts = json.loads((tmp_path / WORK_FILE).read_text())
    assert facts["model"] == {"name": MODEL.name, "digest": MODEL.digest}
    look = Look.load(tmp_path / "looks" / f"{facts['steps'][facts['at']]}.zip")
    assert np.array_equal(np.asarray(look.image), np.asarray(sessions.current(worked).image))


def test_what_is_too_much_is_left_out_from_the_oldest_on(
    worked: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(sessions.packed(sessions.current(worked)).archive)
    for room, steps, at, kept in (
        (4.5, 4, 2, 2),
        (3.5, 2, 0, 2),  # the first step is on the shelf as well
        (2.5, 1, 0, 1),
        (1.5, 1, 0, 0),
        (0.5, 1, 0, 0),
    ):
        monkeypatch.setattr(saved_work, "MOST_BYTES", int(room * size))
        work = work_of(worked)
        assert (len(work.steps), work.at, len(work.shelf)) == (steps, at, kept), room
        assert work.steps[work.at].key == sessions.packed(sessions.current(worked)).key
        assert work.left_out == 4 - steps + 2 - kept


Change = Callable[[dict[str, Any]], object]
HOSTILE: list[tuple[str, Change]] = [
    ("not of format 1", lambda facts: facts.update(format=2)),
    ("does not say which model", lambda facts: facts.update(model=None)),
    ("another model, 'other, 8 classes, 64x64' .b{8}.; this page's", lambda facts: facts.update(model=OTHER.as_json())),
    ("steps must be a list of 1 to 51; it is 0", lambda facts: facts.update(steps=[])),
    ("steps must be a list of 1 to 51; it is 52", lambda facts: facts.update(steps=facts["steps"] * 13)),
    ("steps must be a list of 1 to 51; it is 'x'", lambda facts: facts.update(steps="x")),
    ("lacks the look 'nowhere'", lambda facts: facts["steps"].append("nowhere")),
    ("lacks the look", lambda facts: facts["steps"].append(["x"])),
    ("at must be from 0 to 3; it is 4", lambda facts: facts.update(at=4)),
    ("at must be from 0 to 3; it is -1", lambda facts: facts.update(at=-1)),
    ("at must be from 0 to 3; it is True", lambda facts: facts.update(at=True)),
    ("shelf must be a list of 0 to 100; it is 102", lambda facts: facts.update(shelf=facts["shelf"] * 51)),
    ("its shelf holds something that is no look", lambda facts: facts.update(shelf=[1])),
    ("1 to 40 characters; this has 41", lambda facts: facts["shelf"][0].update(name="x" * 41)),
    ("1 to 40 characters", lambda facts: facts["shelf"][0].update(name="a\x07b")),
    ("1 to 40 characters; this has 0", lambda facts: facts["shelf"][0].pop("name")),
    ("there is no class", lambda facts: facts.update(locked=["sky"])),
    ("locks something that is no class", lambda facts: facts.update(locked=[0])),
    ("all classes would be locked", lambda facts: facts.update(locked=list(FIGURE_LABELS.names))),
    ("looks_so_far must be from 0", lambda facts: facts.update(looks_so_far=10**9)),
]  # fmt: skip


@pytest.mark.parametrize(("said", "change"), HOSTILE, ids=[said for said, _ in HOSTILE])
def test_a_hostile_work_is_refused(
    said: str, change: Change, saved: bytes, opened: Session, config: GroupDNetConfig
) -> None:
    files = files_in(saved, "work", most_files=200, most_bytes=2**26)
    facts = json.loads(files[WORK_FILE])
    change(facts)
    with pytest.raises(ValueError, match=said):
        reread(archive_of({**files, WORK_FILE: json.dumps(facts).encode()}), opened, config)


def test_names_that_are_taken_are_replaced(worked: Session, saved: bytes, config: GroupDNetConfig) -> None:
    """As when a later release brings an example of the name that a visitor has given."""
    facts, looks = read_files(files_in(saved, "work", most_files=200, most_bytes=2**26))
    facts["shelf"][0]["name"] = facts["shelf"][1]["name"] = "example 1"
    back = read_work(facts, looks, replace(worked, shelf=()), MODEL, config)
    assert [item.name for item in back.shelf] == ["look 3", "look 4"]


def swapped(saved: bytes, look: bytes) -> bytes:
    """Return a work whose looks are all another one."""
    files = files_in(saved, "work", most_files=200, most_bytes=2**26)
    return archive_of({name: look if name.endswith(".zip") else content for name, content in files.items()})


def test_hostile_looks_are_refused(
    worked: Session, saved: bytes, opened: Session, config: GroupDNetConfig, pipeline: GroupDNetPipeline
) -> None:
    look = sessions.current(worked)
    larger = GroupDNetPipeline(
        GroupDNet(GroupDNetConfig.for_labels(FIGURE_LABELS, image_size=(128, 128), width=4))
    ).sample(np.zeros((128, 128), np.int64), 0)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("look.json", "{}")
        archive.writestr("image.png", b"\0" * 2**24)
    for archive_bytes, said in (
        (larger.to_bytes(), "its picture is 128x128"),
        (replace(look, seed=MAX_SEED + 1).to_bytes(), "the page's are 0 to"),
        (replace(look, seed=-1).to_bytes(), "has the seed -1"),
        (bomb.getvalue(), "holds 16.0 MiB of files; at most 1 MiB are read"),
        (look.to_bytes()[:-40], "damaged, or of another kind"),
        (b"", "damaged, or of another kind"),
    ):
        with pytest.raises(ValueError, match=said):
            reread(swapped(saved, archive_bytes), opened, config)


# ---- files that are opened


@pytest.fixture
def opens(opened: Session, config: GroupDNetConfig, tmp_path: Path) -> Callable[[str, bytes], OpenedFile]:
    def open_content(name: str, content: bytes) -> OpenedFile:
        (tmp_path / name).write_bytes(content)
        return open_file(tmp_path / name, opened, replace(opened, work="new"), MODEL, config)

    return open_content


def test_the_file_of_a_work_is_opened(
    opens: Callable[[str, bytes], OpenedFile], saved: bytes, worked: Session
) -> None:
    found = opens("work.zip", saved)
    assert keys(found.session) == keys(worked)
    assert (found.replaced, found.session.work) == (True, "new")
    assert found.told == "Your work is open: 4 pictures, 2 looks on the shelf."
    # Also where it was unpacked, and packed again as a folder.
    files = files_in(saved, "work", most_files=200, most_bytes=2**26)
    assert opens("work.zip", archive_of({f"mine/{name}": one for name, one in files.items()})).replaced


def test_the_file_of_a_look_goes_to_the_shelf(
    opens: Callable[[str, bytes], OpenedFile], worked: Session
) -> None:
    look = sessions.current(worked).to_bytes()
    for name, called in (
        ("red coat.zip", "red coat"),
        ("current.zip", "look 1"),
        ("x" * 41 + ".zip", "look 1"),
    ):
        found = opens(name, look)
        assert found.session.shelf[-1].name == called
        assert found.told == f"Put on the shelf as {called}."
        assert not found.replaced


def test_other_files_are_refused(opens: Callable[[str, bytes], OpenedFile]) -> None:
    plain = io.BytesIO()
    Image.new("RGB", (64, 64)).save(plain, "PNG")
    for name, content, said in (
        ("notes.zip", archive_of({"notes.txt": b"x"}), "notes.zip holds neither saved work"),
        ("photo.png", plain.getvalue(), "this picture carries no look"),
        ("photo.zip", b"JFIF", "photo.zip is not a zip archive"),
        ("many.zip", archive_of({f"{n}.zip": b"" for n in range(153)}), "many.zip holds 153 files"),
        ("work.zip", archive_of({WORK_FILE: b"\xff"}), "work.json is not text"),
        ("work.zip", archive_of({WORK_FILE: b"[" * 10**5}), "nests too deeply"),
        ("large.png", b"\x89PNG\r\n\x1a\n" + bytes(2**25), "larger than 25 MiB"),
    ):
        with pytest.raises(ValueError, match=said):
            opens(name, content)


# ---- pictures that carry their looks


def test_a_picture_carries_its_look(worked: Session, config: GroupDNetConfig) -> None:
    look = sessions.current(worked)
    content = picture_file(look, MODEL)
    with Image.open(io.BytesIO(content)) as picture:
        assert np.array_equal(np.asarray(picture), np.asarray(look.image))
        facts = json.loads(picture.text["GroupDNet"])
    assert (facts["model"], facts["seed"]) == (MODEL.as_json(), 2)
    back = look_of_picture(content, MODEL, config)
    assert sessions.packed(back).key == sessions.packed(look).key
    assert torch.equal(back.codes.tensor, look.codes.tensor)


def test_dropping_a_picture_is_one_step(opens: Callable[[str, bytes], OpenedFile], worked: Session) -> None:
    look = sessions.current(worked)
    found = opens("picture.png", picture_file(look, MODEL)).session
    assert len(sessions.history(found)) == 2
    assert sessions.packed(sessions.current(found)).key == sessions.packed(look).key


def test_pictures_that_are_not_this_models_or_hostile_are_refused(
    worked: Session, config: GroupDNetConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = sessions.current(worked)
    content = picture_file(look, MODEL)
    with pytest.raises(ValueError, match="this picture is of another model, 'other, 8 classes"):
        look_of_picture(picture_file(look, OTHER), MODEL, config)
    with pytest.raises(ValueError, match="does not say which model made it"):
        look_of_picture(content.replace(b"tEXtGroupDNet", b"tEXtGroupXXXX"), MODEL, config)
    with pytest.raises(ValueError, match="carries no look"):
        look_of_picture(content.replace(b"gdLK", b"gdXX"), MODEL, config)
    at = content.index(b"gdLK")
    damaged = content[: at + 60] + b"\xff" * 40 + content[at + 100 :]
    with pytest.raises(ValueError, match="the look in this picture"):
        look_of_picture(damaged, MODEL, config)
    with pytest.raises(ValueError, match="carries no look"):
        look_of_picture(content[: at - 4], MODEL, config)
    monkeypatch.setattr("page.core.memory.picture_files._MOST_LOOK", 100)
    with pytest.raises(ValueError, match="carries no look"):
        look_of_picture(content, MODEL, config)


# ---- the page


@pytest.fixture
def studio(tmp_path: Path, examples: Path) -> Studio:
    config = GroupDNetConfig.for_labels(FIGURE_LABELS, image_size=(64, 64), width=4)
    GroupDNet(config).save_pretrained(tmp_path / "model")
    return Studio(str(tmp_path / "model"), examples)


def test_programs_save_and_open_work(studio: Studio) -> None:
    start = studio.enter(Session())
    made = sessions.keep(studio.run(actions.sample, start, 3))
    _, file = endpoints.save_work(studio, made)
    back, look, told = endpoints.open_work(studio, start, file)
    assert told == "Your work is open: 2 pictures, 1 look on the shelf."
    assert keys(back) == keys(made)
    assert look is back.look
    assert back.work not in ("", start.work, made.work)


def test_every_visitor_has_work_of_their_own(studio: Studio) -> None:
    one, other = studio.enter(Session()), studio.enter(Session())
    assert one.work != other.work != ""
    assert studio.enter(one) is one


def test_another_model_has_another_identity(studio: Studio, tmp_path: Path) -> None:
    assert studio.identity.name == "model, 8 classes, 64x64"
    assert ModelIdentity.of(studio.source, studio.config) == studio.identity
    other = GroupDNet(studio.config)
    with torch.no_grad():
        next(other.parameters()).add_(1)
    other.save_pretrained(tmp_path / "model")
    assert ModelIdentity.of(studio.source, studio.config) != studio.identity


def test_what_a_browser_sends_back_may_be_anything(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = next(event.fn for event in app.build_page(studio).fns.values() if event.name == "on_go_on")
    made = studio.run(actions.sample, studio.enter(Session()), 3)
    kept = kept_work(made, studio.identity)
    looks = {look.key: base64.b64encode(look.archive).decode() for look in sessions.history(made)}
    updates = go_on(Session(), gr.EventData(None, {"work": kept, "looks": looks}))
    back = next(value for value in updates.values() if isinstance(value, Session))
    assert keys(back) == keys(made)
    for sent, said in (
        (None, "sent no work"),
        ({"work": kept, "looks": [1]}, "sent no work"),
        ({"work": kept, "looks": {"x": 1}}, "sent damaged work"),
        ({"work": kept, "looks": {"x": "?"}}, "sent damaged work"),
        ({"work": kept, "looks": {str(n): "" for n in range(153)}}, "sent no work"),
        ({"work": kept, "looks": {}}, "lacks the look"),
        ({"work": None, "looks": looks}, "not of format 1"),
        ({"work": {**kept, "model": OTHER.as_json()}, "looks": looks}, "of another model"),
    ):
        with pytest.raises(gr.Error, match=said):
            go_on(Session(), gr.EventData(None, sent))
    monkeypatch.setattr("page.ui.memory.keeping_events.MOST_BYTES", 1000)
    with pytest.raises(gr.Error, match="sent more than"):
        go_on(Session(), gr.EventData(None, {"work": kept, "looks": looks}))
