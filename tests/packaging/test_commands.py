"""``groupdnet COMMAND``: each is the script of train/ or space/, under its own name."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from groupdnet_hub.__main__ import COMMANDS, main
from groupdnet_hub.runs import scripts
from tests.helpers.shared_data import ROOT

NAMES = ["demo", "train", "evaluate", "generate", "prepare", "compare", "reproduce", "export", "convert"]


@pytest.fixture(autouse=True)
def process_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command has its own line and its own place to import from."""
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_help_lists_every_command_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    listed = re.findall(r"^  ([a-z]+) +\S.+$", capsys.readouterr().out, re.MULTILINE)
    assert listed == NAMES


def test_every_script_is_a_command_or_needs_the_clone() -> None:
    scripts_of_commands = {Path(*command.script) for command in COMMANDS.values()}
    there = {path.relative_to(ROOT) for path in (ROOT / "train").glob("*.py")}
    assert there - scripts_of_commands == {Path("train/train_parser.py")}
    assert scripts_of_commands - there == {Path("space/app.py")}


def test_usage_and_errors_name_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["reproduce", "--nonsense"])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("groupdnet reproduce: ")


def test_convert_reports_bad_input_under_its_name(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    flags = ["--generator", "absent.pth", "--preset", "deepfashion", "--output", str(tmp_path / "model")]
    with pytest.raises(SystemExit) as end:
        main(["convert", *flags])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("groupdnet convert: ")


def test_an_unknown_command_is_refused_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["trian"])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert all(name in error for name in NAMES)


@pytest.mark.parametrize(
    ("name", "module", "extras"),
    [("demo", "gradio", "space"), ("train", "accelerate", "train"), ("generate", "accelerate", "train")],
)
def test_a_missing_extra_is_named_in_one_line(name: str, module: str, extras: str) -> None:
    # In a process of its own, which has not imported it yet.
    lines = f"import sys; sys.modules[{module!r}] = None; from groupdnet_hub.__main__ import main; main([{name!r}])"
    done = subprocess.run(
        [sys.executable, "-c", lines], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1
    assert f"groupdnet-hub[{extras}]" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_fault_of_our_own_is_not_taken_for_a_missing_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text("import groupdnet_hub.absent")
    monkeypatch.setattr("groupdnet_hub.__main__.shipped", lambda *parts: tmp_path / "script.py")
    with pytest.raises(ModuleNotFoundError, match="groupdnet_hub"):
        main(["train"])


def test_a_script_runs_as_python_runs_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """With its own folder to import from, its own command line, and as the main module."""
    (tmp_path / "beside.py").write_text("WORD = 'found'")
    script = tmp_path / "script.py"
    script.write_text("import sys, beside\nprint(__name__, beside.WORD, sys.argv[1:])")
    scripts.run_here(script, "groupdnet script", ["--flag", "1"])
    assert capsys.readouterr().out == "__main__ found ['--flag', '1']\n"
    assert scripts.program("script.py") == "groupdnet script"


def test_a_script_by_itself_keeps_its_name() -> None:
    assert scripts.program("train.py") == "train.py"
