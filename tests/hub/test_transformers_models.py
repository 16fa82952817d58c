"""Models of transformers: without the Hub, what is not in its cache is told at once, with the flag that names it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.hub import transformers_models
from groupdnet_hub.hub.transformers_models import load_transformers


def loading(seen: list[dict[str, Any]], error: Exception | None = None) -> Callable[..., str]:
    def load(**options: Any) -> str:
        seen.append(options)
        if error is not None:
            raise error
        return "model"

    return load


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that the Hub was asked for; nobody answers."""
    models: list[str] = []

    def unreachable(repo_id: str, *_: object) -> str:
        models.append(repo_id)
        return "Name or service not known"

    monkeypatch.setattr(transformers_models, "why_unreachable", unreachable)
    return models


def test_without_the_hub_only_its_cache_is_read(asked: list[str]) -> None:
    seen: list[dict[str, Any]] = []
    assert load_transformers(loading(seen), "user/parser", "--parser", revision="main") == "model"
    assert seen == [{"revision": "main", "local_files_only": True}]
    assert len(asked) == 1


def test_what_is_not_in_the_cache_is_told_with_the_flag(asked: list[str]) -> None:
    expected = r"user/parser cannot be loaded: .* cannot be reached \(Name or .*\): name a local folder with --parser"
    with pytest.raises(ValueError, match=expected):
        load_transformers(loading([], OSError("We couldn't connect")), "user/parser", "--parser")


def test_folders_ask_nobody(asked: list[str], tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    load_transformers(loading(seen), tmp_path, "--parser")
    load_transformers(loading(seen), "user/parser", "--parser", local_files_only=True)
    with pytest.raises(ValueError, match=r"nowhere cannot be loaded: there is no folder"):
        load_transformers(loading(seen), str(tmp_path / "nowhere"), "--parser")
    assert seen == [{}, {"local_files_only": True}]
    assert asked == []


def test_with_the_hub_its_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformers_models, "why_unreachable", lambda *_: None)
    seen: list[dict[str, Any]] = []
    with pytest.raises(ValueError, match="user/parser cannot be loaded: no such model"):
        load_transformers(loading(seen, OSError("no such model")), "user/parser", "--parser")
    assert seen == [{}]


def test_each_command_names_its_own_flag(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("timm")
    pytest.importorskip("transformers")
    from groupdnet_hub.metrics import LabelTable, Segmenter
    from groupdnet_hub.parser.network import load_parser
    from groupdnet_hub.prepare.photos import segmenter_for

    table = LabelTable.same_names(FIGURE_LABELS, FIGURE_LABELS.names)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for load, flag in (
        (lambda: load_parser("user/parser", FIGURE_LABELS, (64, 64)), "--pretrained_model_name_or_path"),
        (lambda: segmenter_for("user/parser", None, FIGURE_LABELS), "--parser"),
        (lambda: Segmenter("user/parser", table), "--segmentation_model"),
        (lambda: LabelTable.of_model("user/parser", FIGURE_LABELS), "--segmentation_model"),
    ):
        with pytest.raises(ValueError, match=rf"name a local folder with {flag}$"):
            load()
