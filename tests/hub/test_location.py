"""What is a folder and what a Hub id, and that a slip of the pen is told at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError

from groupdnet_hub import GroupDNet, GroupDNetPipeline, load_system
from groupdnet_hub.hub import files
from groupdnet_hub.hub.location import model_folder
from groupdnet_hub.metrics import LabelTable, Segmenter
from tests.helpers.hub_models import CONFIG, LABELS, make_model


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with ``models/people16``, and no Hub: whoever asks it anything fails the test."""
    make_model().save_pretrained(tmp_path / "models" / "people16")
    monkeypatch.chdir(tmp_path)

    def asked(*_: object) -> None:
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr(files, "why_unreachable", asked)
    monkeypatch.setattr(files, "hf_hub_download", asked)
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "./modles/people16",
        "../models/people16",
        "modles/people16/",
        "some/modles/people16",
        "/models/people16",
        "C:\\models\\people16",
        "people16",
        "~/people16",
        ".hidden/people16",
        "modèles/people16",
        "user/a--b",
        "",
        Path("modles/people16"),
    ],
)
def test_no_path_and_no_hub_id(here: Path, name: str | Path) -> None:
    for load in (GroupDNet.from_pretrained, GroupDNetPipeline.from_pretrained, load_system):
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            load(name)


def test_a_parser_of_transformers_is_named_likewise(here: Path) -> None:
    refusal = r"cannot be loaded: there is no folder .* \(did you mean 'models/people16'"
    with pytest.raises(ValueError, match=refusal):
        LabelTable.of_model("./modles/people16", LABELS)
    with pytest.raises(ValueError, match=refusal):
        Segmenter("./modles/people16", LabelTable.same_names(LABELS))


def test_near_folders_are_named(here: Path) -> None:
    for name in ("./modles/people16", "models/peple16/", str(here / "model" / "people_16")):
        with pytest.raises(FileNotFoundError, match=r"did you mean '.*models/people16'\?"):
            model_folder(name)


def test_what_is_a_hub_id(here: Path) -> None:
    assert model_folder("user/model-1.0") is None
    assert model_folder("models/people16") == Path("models/people16")  # a folder that exists comes first
    assert model_folder("models/people16/") == Path("models/people16")
    with pytest.raises(TypeError, match=r"not by 3 \(int\)"):
        model_folder(3)  # type: ignore[arg-type]


def test_a_folder_without_a_model_tells_where_one_is(here: Path) -> None:
    there = r"models has no config.json: there is one in people16: name that folder, 'models/people16'"
    with pytest.raises(FileNotFoundError, match=there):
        GroupDNet.from_pretrained("models")
    with pytest.raises(FileNotFoundError, match="is a file: name the folder"):
        GroupDNet.from_pretrained("models/people16/config.json")


def test_a_hub_id_without_the_hub_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One request, not six in 24 seconds; the folder that may have been meant is named."""
    make_model().save_pretrained(tmp_path / "models" / "people16")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # the port of nobody
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with pytest.raises(LocalEntryNotFoundError) as refused:
        GroupDNet.from_pretrained("modles/people16", cache_dir=tmp_path / "cache")
    assert waits == []
    for part in (
        "there is no folder 'modles/people16' (did you mean 'models/people16'?)",
        "config.json of modles/people16 (revision main) is not in the cache",
        "the Hub is out of reach",
    ):
        assert part in str(refused.value)
    with pytest.raises(LocalEntryNotFoundError, match="leave force_download out"):
        GroupDNet.from_pretrained("modles/people16", cache_dir=tmp_path / "cache", force_download=True)


def test_subfolders(here: Path) -> None:
    assert GroupDNet.from_pretrained("models", subfolder="people16").config == CONFIG
    assert load_system("models", subfolder="people16").config == CONFIG
    with pytest.raises(FileNotFoundError, match=r"did you mean 'models/people16'\?\): check subfolder"):
        GroupDNet.from_pretrained("models", subfolder="people61")
    for outside in ("../models", "/models", "people16/../..", "C:\\x"):
        with pytest.raises(ValueError, match="must be a path inside"):
            GroupDNet.from_pretrained("models", subfolder=outside)
