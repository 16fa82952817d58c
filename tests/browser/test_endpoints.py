"""The endpoints, as a program uses them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page.core.studio import OPENING_SEEDS
from PIL import Image

from groupdnet_hub import GroupDNetPipeline
from groupdnet_hub.data.figure_drawing import draw_figure
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.label_maps import read_label_map
from groupdnet_hub.data.labels import label_picture
from tests.helpers.shared_data import ROOT

pytestmark = pytest.mark.browser

SPACE = ROOT / "space"


@pytest.fixture
def client(page_address: str, tmp_path: Path) -> Any:
    gradio_client = pytest.importorskip("gradio_client", reason="the endpoints need gradio")
    return gradio_client.Client(
        page_address, verbose=False, download_files=str(tmp_path), analytics_enabled=False
    )


@pytest.fixture(scope="module")
def pipe(model_folder: Path) -> GroupDNetPipeline:
    return GroupDNetPipeline.from_pretrained(model_folder)


def drawn(answer: tuple[str, str]) -> np.ndarray:
    return np.asarray(Image.open(answer[0]).convert("RGB")).astype(int)


def same(answer: tuple[str, str], look: Any) -> None:
    # The page may run with another number of threads.
    np.testing.assert_allclose(drawn(answer), np.asarray(look.image).astype(int), atol=1)


def test_they_do_what_the_pipeline_does(client: Any, pipe: GroupDNetPipeline, examples: Path) -> None:
    from gradio_client import handle_file

    look = pipe.sample(examples / "example_04.png", seed=7)
    same(client.predict(handle_file(examples / "example_04.png"), 7, api_name="/open_map"), look)
    assert client.predict(api_name="/keep")[1] == "look 1"
    rerolled = pipe.reroll(look, "top-clothes", seed=3)
    same(client.predict("top-clothes", 3, False, api_name="/reroll"), rerolled)
    other = pipe.sample(look.mask, seed=9)
    same(client.predict(9, api_name="/sample"), other)
    mixed = pipe.mix(look.mask, {"hair": look}, base=other)
    same(client.predict("current", {"hair": "look 1"}, api_name="/mix"), mixed)
    between = pipe.between(look, mixed, 1.25, ["hair", "face"])
    same(client.predict("look 1", "current", 1.25, ["hair", "face"], api_name="/morph"), between)
    same(client.predict(api_name="/undo"), mixed)
    same(client.predict(api_name="/redo"), between)
    same(client.predict("look 1", api_name="/show"), look)
    edited = pipe.edit(look, examples / "example_01.png")
    same(client.predict(handle_file(examples / "example_01.png"), api_name="/edit"), edited)


def test_candidates_locks_and_looks(client: Any, pipe: GroupDNetPipeline, examples: Path) -> None:
    opened = pipe.sample(examples / "example_01.png", seed=OPENING_SEEDS[0])  # what the page opens with
    pictures, sentence = client.predict("hair", 5, False, api_name="/candidates")
    assert len(pictures) == 4
    assert sentence.startswith("4 candidates for hair")
    same(client.predict(3, api_name="/pick"), pipe.reroll(opened, "hair", seed=8))
    client.predict(api_name="/undo")
    assert client.predict(["hair", "face"], api_name="/lock") == "Locked: hair, face."
    others = [name for name in pipe.labels.names if name not in ("hair", "face")]
    same(client.predict(6, api_name="/sample"), pipe.reroll(opened, others, seed=6))
    looks = client.predict(api_name="/looks")
    assert list(looks) == ["current", *(f"example {n}" for n in range(1, 9))]
    assert looks["current"] == list(opened.classes)


@pytest.mark.slow
def test_films(client: Any) -> None:
    gif = client.predict("current", "example 2", None, "gif", True, api_name="/film")
    assert Image.open(gif).n_frames == 80
    mp4 = client.predict("current", "example 2", ["hair"], "mp4", False, api_name="/film")
    assert Path(mp4).read_bytes()[4:8] == b"ftyp"


def test_a_photo_becomes_a_look(client: Any, pipe: GroupDNetPipeline, tmp_path: Path) -> None:
    from gradio_client import handle_file

    photo, label = draw_figure(5, (256, 256), crop="upper")
    photo.save(tmp_path / "photo.png")
    label_picture(label, FIGURE_LABELS).save(tmp_path / "map.png")
    answer = client.predict(
        handle_file(tmp_path / "photo.png"), handle_file(tmp_path / "map.png"), api_name="/encode"
    )
    assert answer[1] == "photo 1"
    size = pipe.model.config.image_size
    same(answer, pipe.encode(photo, read_label_map(label, FIGURE_LABELS, size=size, resize=True)))
    assert "photo 1" in client.predict(api_name="/looks")


def test_refusals_are_sentences(client: Any, examples: Path) -> None:
    from gradio_client import handle_file
    from gradio_client.exceptions import AppError

    photo = handle_file(examples / "example_01.png")
    for arguments, name, expected in (
        (("shoos", 0, False), "/reroll", "did you mean 'shoes'"),
        ((-1,), "/sample", "-1 is not a seed: a seed is a whole number from 0"),
        (("current", {"hair": "look 9"}), "/mix", "There is no look 'look 9'"),
        (("current", ["hair"]), "/mix", "Sources must name a look for each class"),
        (("current", "example 2", 7, None), "/morph", "from -0.5 to 1.5"),
        (("current", "example 2", None, "avi", False), "/film", "gif or mp4"),
        (("hair",), "/lock", "a list of class names"),
        ((0,), "/pick", "There are no candidates"),
        ((photo,), "/parse", "No parser is configured"),
        ((), "/undo", "There is no earlier picture"),
    ):
        with pytest.raises(AppError) as refused:
            client.predict(*arguments, api_name=name)
        assert expected in str(refused.value)


def test_each_client_has_a_session_of_its_own(client: Any, page_address: str) -> None:
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    client.predict(api_name="/keep")
    stranger = Client(page_address, verbose=False, analytics_enabled=False)
    with pytest.raises(AppError, match="no look 'look 1'"):
        stranger.predict("current", {"hair": "look 1"}, api_name="/mix")


def test_the_python_lines_of_the_readme(page_address: str, tmp_path: Path, examples: Path) -> None:
    pytest.importorskip("gradio_client", reason="the endpoints need gradio")
    text = (SPACE / "README.md").read_text(encoding="utf-8")
    script = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert script
    shutil.copy(examples / "example_04.png", tmp_path / "mask.png")
    photo, label = draw_figure(5, (256, 256), crop="upper")
    photo.save(tmp_path / "photo.jpg")
    label_picture(label, FIGURE_LABELS).save(tmp_path / "photo-map.png")
    lines = script[1].replace("http://localhost:7860", page_address)
    lines += "\nprint(sentence, name, picture, film, sep='|')"
    answer = subprocess.run(
        [sys.executable, "-c", lines], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    )
    sentence, name, picture, film = answer.stdout.strip().splitlines()[-1].split("|")
    assert sentence == "current, with hair of look 1, shoes of example 2."
    assert name == "photo 1"
    assert Image.open(picture).mode == "RGB"
    assert Path(film).read_bytes()[4:8] == b"ftyp"


def test_the_curl_lines_of_the_readme(page_address: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    text = (SPACE / "README.md").read_text(encoding="utf-8")
    script = re.search(r"```bash\n(URL=.*?)```", text, re.DOTALL)
    assert script
    lines = script[1].replace("http://localhost:7860/", page_address)
    answer = subprocess.run(["bash", "-ec", lines], capture_output=True, text=True, timeout=60, check=True)
    assert "event: complete" in answer.stdout
    data = json.loads(answer.stdout.split("data: ", 1)[1].splitlines()[0])
    assert data[-1] == "Drawn with seed 7."
