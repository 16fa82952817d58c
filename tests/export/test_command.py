"""``groupdnet export``: its flags, and one sentence for what cannot be."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from groupdnet_hub.__main__ import main
from tests.helpers.network_models import make_model


@pytest.fixture(autouse=True)
def process_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command has its own line and its own place to import from."""
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    make_model(2, (8, 8), 2).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    with pytest.raises(SystemExit) as end:
        main(["export", *map(str, words)])
    assert end.value.code == 1
    message = capsys.readouterr().err.rstrip("\n")
    assert message.startswith("groupdnet export")
    assert len(message.splitlines()) == 1
    return message


def test_a_format_and_a_folder_that_may_be_replaced(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", str(model), "--format", "torch-export", "--output_dir", str(tmp_path / "out")]
    main(words)
    assert sorted(os.listdir(tmp_path / "out")) == ["decoder.pt2", "encoder.pt2", "export.json"]
    told = json.loads((tmp_path / "out" / "export.json").read_text())
    said = capsys.readouterr().out
    for name in ("encoder", "decoder"):
        difference = told["files"][name]["largest_difference"]
        assert f"{name}.pt2: at most {difference:.1e} from PyTorch" in said
    assert "batches of 1, 3 and 8" in said
    before = (tmp_path / "out" / "decoder.pt2").stat().st_mtime_ns
    assert "--overwrite_output_dir" in refused(capsys, *words[1:])
    main([*words, "--overwrite_output_dir"])
    assert (tmp_path / "out" / "decoder.pt2").stat().st_mtime_ns > before


def test_one_sentence_for_what_cannot_be(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no folder" in refused(capsys, tmp_path / "absent", "--output_dir", tmp_path / "out")
    assert "choose another folder" in refused(capsys, model, "--output_dir", model)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["MODEL"], "--output_dir"),
        (["--output_dir", "out"], "MODEL"),
        (["MODEL", "--output_dir", "out", "--format", "tflite"], "'tflite' (choose from"),
    ],
)
def test_wrong_words_are_refused_by_name(
    words: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["export", *words])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("groupdnet export: ")
    assert problem in said


def test_a_missing_package_is_named_with_its_extra(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    message = refused(capsys, model, "--output_dir", tmp_path / "out")
    assert message == (
        "groupdnet export: this format needs onnxruntime: pip install 'groupdnet-hub[export]'; nothing was written"
    )
