"""What is wrong with a flag is said at once, on one line, by every script."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.helpers.script_runs import run_script
from tests.helpers.shared_data import ROOT

SCRIPTS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("train", "train/tools")
    for path in (ROOT / folder).glob("*.py")
)


def said(main: Callable[[Sequence[str]], object], *flags: str) -> str:
    """What a wrong command line ends with; the exit status is 2."""
    error = io.StringIO()
    with contextlib.redirect_stderr(error), pytest.raises(SystemExit) as ended:
        main(flags)
    assert ended.value.code == 2
    return error.getvalue()


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_unknown_flag_is_named_on_one_line(script: str) -> None:
    pytest.importorskip("accelerate")
    pytest.importorskip("transformers")
    module = importlib.import_module(script.removesuffix(".py").replace("/", "."))
    name = Path(script).name
    text = said(module.main, "--no_such_flag", "1")
    assert text.startswith(f"{name}: ")
    assert text.endswith(f"; see {name} --help\n")
    assert len(text.splitlines()) == 1


def test_the_page_names_it_too() -> None:
    pytest.importorskip("gradio")
    done = run_script(ROOT / "space" / "app.py", ["--no_such_flag"])
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "app.py: unrecognized arguments: --no_such_flag; see app.py --help"
    assert "usage" not in done.stderr


@pytest.mark.parametrize(
    ("script", "flags", "message"),
    [
        (
            "train.train",
            ["--train_data_dir", ".", "--width", "x"],
            "train.py: --width: invalid int value: 'x'",
        ),
        (
            "train.train",
            ["--max_train_steps", "0"],
            "train.py: --max_train_steps is 0; it must be at least 1",
        ),
        ("train.evaluate", ["--model", "m"], "evaluate.py: the following arguments are required: --data_dir"),
        (
            "train.prepare",
            ["photos", "--num_workers", "x"],
            "prepare.py photos: --num_workers: invalid int value: 'x'",
        ),
    ],
)
def test_the_flag_comes_first(script: str, flags: list[str], message: str) -> None:
    pytest.importorskip("accelerate")
    assert said(importlib.import_module(script).main, *flags).startswith(f"{message}")


def test_sizes_and_times_of_a_kit_are_numbers(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    from groupdnet_hub.training.state.parts import split
    from train.tools.resume_kit import resume

    with pytest.raises(ValueError, match="--seconds is nan"):
        resume(tmp_path, float("nan"), [], [], None)
    for size in (float("nan"), float("inf"), 0.0):
        with pytest.raises(ValueError, match="--checkpoint_part_mb is"):
            split(tmp_path, tmp_path / "to", part_mb=size)
