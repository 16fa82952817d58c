"""What models may cost that the page serves: told in a sentence when it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import app
import pytest
from page.core.budget import page_limits
from page.core.lazy_model import LazyModel, read_config
from page.core.model_thread import ModelThread

from groupdnet_hub import GroupDNet, GroupDNetConfig, GroupDNetPipeline
from groupdnet_hub.baselines import system_config
from tests.helpers.hub_models import CONFIG, LABELS, make_model
from tests.helpers.shared_data import ROOT

HUGE = GroupDNetConfig.for_labels(LABELS, (8192, 8192), 3)


@pytest.fixture(autouse=True)
def _answers_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUPDNET_EVALUATION_ANSWERS", str(tmp_path / "answers.sqlite3"))


def sentence_at_start(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    """Start the page, which must end, and return what it says."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        app.main()
    return str(ended.value)


@pytest.mark.slow
def test_a_small_file_that_asks_for_much_ends_the_process(tmp_path: Path) -> None:
    GroupDNet(HUGE).save_pretrained(tmp_path / "huge")
    ended = subprocess.run(
        [sys.executable, str(ROOT / "space" / "app.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "GROUPDNET_MODEL": str(tmp_path / "huge")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith(
        f"The model cannot be loaded: {tmp_path / 'huge'} asks for pictures of 8192x8192"
    )
    assert ended.stderr.count("\n") == 1


def test_it_is_told_when_the_page_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text(HUGE.to_json())
    sentence = sentence_at_start(monkeypatch, GROUPDNET_MODEL=str(tmp_path))
    assert sentence.startswith(f"The model cannot be loaded: {tmp_path} asks for pictures of 8192x8192")
    # More pixels than an upload may have are never drawn, and no setting is named that would have no effect.
    assert sentence.endswith("which no setting raises: draw larger ones with generate.py or in Python")
    assert "GROUPDNET" not in sentence
    assert sentence_at_start(monkeypatch, GROUPDNET_MAX_PIXELS=str(2**30)) == sentence


def test_a_model_of_the_human_evaluation_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_model().save_pretrained(tmp_path / "model")
    (tmp_path / "huge").mkdir()
    (tmp_path / "huge" / "config.json").write_text(
        system_config("BicycleGAN", LABELS, (8192, 8192), 4).to_json()
    )
    models = f"{tmp_path / 'model'},{tmp_path / 'huge'}"
    sentence = sentence_at_start(
        monkeypatch,
        GROUPDNET_MODEL=str(tmp_path / "model"),
        GROUPDNET_EVALUATION_MODELS=models,
    )
    assert f"{tmp_path / 'huge'} asks for pictures of 8192x8192" in sentence


def test_models_that_are_too_much_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        make_model().save_pretrained(folder)
    alone = CONFIG.cost.memory_bytes / 2**30
    sentence = sentence_at_start(
        monkeypatch,
        GROUPDNET_MODEL=str(folders[0]),
        GROUPDNET_EVALUATION_MODELS=",".join(map(str, folders)),
        GROUPDNET_MAX_MEMORY_GB=str(1.01 * alone),
    )
    assert "GiB of memory together, and the limit is" in sentence
    assert "GROUPDNET_MAX_MEMORY_GB" in sentence


def test_a_limit_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = sentence_at_start(monkeypatch, GROUPDNET_MAX_MEMORY_GB="much")
    assert sentence.endswith("GROUPDNET_MAX_MEMORY_GB is 'much'; it must be a number above 0, such as 24")


def test_limits_of_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def load(name: str) -> GroupDNetPipeline:
        return LazyModel(name, GroupDNetPipeline.from_pretrained, ModelThread()).loaded

    assert page_limits().memory_gb == 12
    monkeypatch.setenv("GROUPDNET_MAX_MEMORY_GB", "40")
    monkeypatch.setenv("GROUPDNET_MAX_PIXELS", str(10**9))
    assert (page_limits().memory_gb, page_limits().pixels) == (40, 4096 * 4096)
    make_model().save_pretrained(tmp_path)
    monkeypatch.setenv("GROUPDNET_MAX_PIXELS", "1000")
    for read in (read_config, load):
        told = "asks for pictures of 32x32, and the limit is 1,000.*GROUPDNET_MAX_PIXELS=1024 for scripts and page"
        with pytest.raises(ValueError, match=told):
            read(str(tmp_path))
    monkeypatch.setenv("GROUPDNET_MAX_PIXELS", "1024")
    assert read_config(str(tmp_path)) == load(str(tmp_path)).model.config == CONFIG
