"""The endpoints, as a program uses them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub import GroupDNetPipeline

pytestmark = pytest.mark.browser

EXAMPLES = Path(__file__).resolve().parents[2] / "space" / "examples"


@pytest.fixture
def client(page_address: str, tmp_path: Path) -> Any:
    gradio_client = pytest.importorskip("gradio_client", reason="the endpoints need gradio")
    return gradio_client.Client(
        page_address, verbose=False, download_files=str(tmp_path), analytics_enabled=False
    )


def drawn(answer: tuple[str, str]) -> np.ndarray:
    return np.asarray(Image.open(answer[0]).convert("RGB"))


def test_they_do_what_the_pipeline_does(client: Any, model_folder: Path) -> None:
    from gradio_client import handle_file

    pipe = GroupDNetPipeline.from_pretrained(model_folder)
    look = pipe.sample(EXAMPLES / "example_4.png", seed=7)
    near = {"atol": 1}  # the page may run with another number of threads
    opened = client.predict(handle_file(EXAMPLES / "example_4.png"), 7, api_name="/open_map")
    np.testing.assert_allclose(drawn(opened).astype(int), np.asarray(look.image).astype(int), **near)
    assert client.predict(api_name="/keep")[1] == "look 1"
    rerolled = pipe.reroll(look, "top-clothes", seed=3)
    answer = client.predict("top-clothes", 3, api_name="/reroll")
    np.testing.assert_allclose(drawn(answer).astype(int), np.asarray(rerolled.image).astype(int), **near)
    other = pipe.sample(look.mask, seed=9)
    answer = client.predict(9, api_name="/sample")
    np.testing.assert_allclose(drawn(answer).astype(int), np.asarray(other.image).astype(int), **near)
    mixed = pipe.mix(look.mask, {"hair": look}, base=other)
    answer = client.predict("current", "look 1", ["hair"], api_name="/mix")
    np.testing.assert_allclose(drawn(answer).astype(int), np.asarray(mixed.image).astype(int), **near)


def test_refusals_are_sentences(client: Any) -> None:
    from gradio_client.exceptions import AppError

    for arguments, name, expected in (
        (("shoos", 0), "/reroll", "did you mean 'shoes'"),
        ((-1,), "/sample", "The seed must be a whole number from 0"),
        (("current", "look 9", ["hair"]), "/mix", "There is no look 'look 9'"),
        (("current", "current", "hair"), "/mix", "a list of class names"),
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
        stranger.predict("current", "look 1", ["hair"], api_name="/mix")
