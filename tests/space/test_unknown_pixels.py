"""Uploaded label maps with unknown pixels: what is drawn, and that the page says so."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from groupdnet_hub import GroupDNetPipeline, LabelSet
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.label_maps import read_label_map
from groupdnet_hub.data.labels import label_picture

pytest.importorskip("gradio", reason="the page needs gradio")

import app
import gradio as gr
from page.core import session as sessions
from page.core.example_maps import example_map
from page.core.session import Session
from page.core.studio import Studio
from page.ui import endpoints
from page.ui.tabs.map_files import _unknown
from PIL import Image

from tests.helpers.page_models import page_model

SIZE = (64, 64)
IGNORING = LabelSet(FIGURE_LABELS.names, FIGURE_LABELS.palette, (255, (224, 224, 192)))
TOLD = "256 unknown pixels (6.2 %) of the label map are drawn as the nearest class."


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, examples: Path) -> Studio:
    """A model that knows what 255 is."""
    folder = tmp_path_factory.mktemp("model")
    page_model(IGNORING, SIZE).save_pretrained(folder)
    return Studio(str(folder), examples)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, examples: Path) -> Studio:
    """A model that ignores nothing."""
    folder = tmp_path_factory.mktemp("plain")
    page_model(FIGURE_LABELS, SIZE).save_pretrained(folder)
    return Studio(str(folder), examples)


@pytest.fixture
def known(examples: Path) -> np.ndarray:
    return read_label_map(examples / "example_01.png", FIGURE_LABELS, size=SIZE, resize=True)


@pytest.fixture
def unknown() -> np.ndarray:
    region = np.zeros(SIZE, bool)
    region[24:40, 24:40] = True
    return region


@pytest.fixture
def upload(tmp_path: Path, known: np.ndarray, unknown: np.ndarray) -> str:
    Image.fromarray(np.where(unknown, 255, known).astype(np.uint8)).save(tmp_path / "map.png")
    return str(tmp_path / "map.png")


def events(studio: Studio, name: str) -> Any:
    """Return the handler of an event of the page by its name."""
    page = app.build_page(studio)
    return next(event.fn for event in page.fns.values() if event.name == name)


def texts(updates: dict[Any, Any]) -> list[str]:
    return [value for value in updates.values() if isinstance(value, str)]


def test_an_upload_is_drawn_and_the_sentence_says_what_as(
    studio: Studio, upload: str, known: np.ndarray, unknown: np.ndarray
) -> None:
    updates = events(studio, "on_upload")(studio.enter(Session()), upload, 5)
    assert f"Your label map, seed 5. {TOLD}" in texts(updates)
    session = next(value for value in updates.values() if isinstance(value, Session))
    mask = sessions.current(session).mask
    assert np.array_equal(mask[~unknown], known[~unknown])
    expected = GroupDNetPipeline.from_pretrained(studio.source).sample(upload, seed=5)
    assert np.array_equal(mask, expected.mask)
    assert np.array_equal(np.asarray(sessions.current(session).image), np.asarray(expected.image))


def test_a_map_without_unknown_pixels_is_told_as_before(
    studio: Studio, known: np.ndarray, tmp_path: Path
) -> None:
    label_picture(known, FIGURE_LABELS).save(tmp_path / "known.png")
    updates = events(studio, "on_upload")(studio.enter(Session()), str(tmp_path / "known.png"), 5)
    assert "Your label map, seed 5." in texts(updates)


def test_endpoints_say_so_too(studio: Studio, upload: str) -> None:
    opened, _, told = endpoints.open_map(studio, studio.enter(Session()), upload, 3)
    assert told == f"Drawn with seed 3. {TOLD}"
    _, _, told = endpoints.edit(studio, opened, upload)
    assert told == f"The same appearance on this map. {TOLD}"


def test_a_model_that_ignores_nothing_refuses_with_a_way_out(plain: Studio, upload: str) -> None:
    session = plain.enter(Session())
    with pytest.raises(ValueError, match="255 is not a class id") as refused:
        endpoints.open_map(plain, session, upload, 3)
    assert "If such pixels are unknown, paint them as the class" in str(refused.value)
    assert "classes.json" not in str(refused.value)  # which a visitor has not
    with pytest.raises(gr.Error, match="If such pixels are unknown"):
        events(plain, "on_upload")(session, upload, 3)


def test_a_page_ignores_what_its_variable_lists(
    plain: Studio, examples: Path, upload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUPDNET_MODEL", plain.source)
    monkeypatch.setenv("GROUPDNET_EXAMPLES", str(examples))
    monkeypatch.setenv("GROUPDNET_IGNORE_ID", "255 #e0e0c0")
    studio = app.open_studio()
    assert studio.labels.ignore == (255, (224, 224, 192))
    opened, _, told = endpoints.open_map(studio, studio.enter(Session()), upload, 3)
    assert told == f"Drawn with seed 3. {TOLD}"
    encoded, *_ = endpoints.encode(studio, opened, _grey_photo(examples.parent), upload, False)
    assert len(encoded.shelf) == 1
    monkeypatch.setenv("GROUPDNET_IGNORE_ID", "white")
    with pytest.raises(
        ValueError, match=r"GROUPDNET_IGNORE_ID takes ids from 0 to 65535 and colours .* not 'white'"
    ):
        app.open_studio()


def _grey_photo(folder: Path) -> str:
    path = folder / "grey.png"
    Image.new("RGB", SIZE, (128, 128, 128)).save(path)
    return str(path)


def test_what_is_no_map_of_these_classes_gets_no_such_advice(plain: Studio, tmp_path: Path) -> None:
    for name, pixels in (
        ("numbers", np.arange(64 * 64).reshape(SIZE).astype(np.uint16)),
        ("photo", np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)),
        ("wide", np.full((64, 256), 255, np.uint8)),
    ):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        with pytest.raises(ValueError, match=r"label map|palette") as refused:
            endpoints.open_map(plain, plain.enter(Session()), str(tmp_path / f"{name}.png"), 3)
        assert "If such pixels" not in str(refused.value), name


def test_a_photos_map_says_it_and_its_unknown_pixels_are_in_no_code(
    studio: Studio, upload: str, unknown: np.ndarray, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    codes = []
    for number, shown in enumerate((pixels, np.where(unknown[:, :, None], 255 - pixels, pixels))):
        path = tmp_path / f"photo_{number}.png"
        Image.fromarray(shown).save(path)
        session, *_, name = endpoints.encode(studio, studio.enter(Session()), str(path), upload, False)
        assert name == "photo 1"
        codes.append(session.named(name).codes.tensor)
    assert torch.equal(*codes)

    told = texts(events(studio, "on_map")(session, upload))
    assert (
        f"The photo's map is here. {TOLD} Correct it where that is wrong, then put the look on the shelf."
        in told
    )


def test_a_photos_map_is_cropped_with_its_unknown_pixels(studio: Studio, tmp_path: Path) -> None:
    """The middle is cut out; the unknown stripe reaches its edge."""
    ids = np.zeros((64, 128), np.uint8)
    ids[:, 40:60], ids[:, 60:80] = 1, 255
    Image.fromarray(ids).save(tmp_path / "map.png")
    Image.fromarray(np.zeros((64, 128, 3), np.uint8)).save(tmp_path / "photo.png")
    files = (str(tmp_path / "photo.png"), str(tmp_path / "map.png"))
    session, *_ = endpoints.encode(studio, studio.enter(Session()), *files, False, [32, 0, 64, 64])
    mask = session.named("photo 1").mask
    assert (mask[:, 8:28] == 1).all()
    assert (mask[:, 28:38] == 1).all(), "the nearest class"
    assert (mask[:, 38:] == 0).all()


def test_the_canvas_holds_classes_only(studio: Studio) -> None:
    from page.ui.components import data_url
    from page.ui.painter import read_canvas

    void = Image.new("RGB", (64, 64), (224, 224, 192))
    with pytest.raises(ValueError, match="not in the palette"):
        read_canvas(data_url(void), studio.labels, SIZE)


def test_the_tab_of_map_files_names_them(studio: Studio, plain: Studio) -> None:
    assert _unknown(studio.labels) == (
        " Pixels of the id or colour 255, (224, 224, 192) are unknown: they are drawn as the nearest class."
    )
    assert _unknown(plain.labels) == ""


def test_examples_may_have_some(
    plain: Studio, known: np.ndarray, unknown: np.ndarray, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What their ``classes.json`` ignores is unknown, whatever the model ignores; the log of the page says so."""
    Image.fromarray(np.where(unknown, 77, known).astype(np.uint8)).save(tmp_path / "one.png")
    LabelSet(FIGURE_LABELS.names, FIGURE_LABELS.palette, (77,)).to_file(tmp_path / "classes.json")
    with caplog.at_level(logging.WARNING):
        studio = Studio(plain.source, tmp_path)
    assert studio.examples == [tmp_path / "one.png"]
    assert "one.png: 256 unknown pixels" in caplog.text
    assert np.array_equal(example_map(tmp_path / "one.png", FIGURE_LABELS, SIZE)[~unknown], known[~unknown])
