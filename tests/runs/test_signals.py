"""Signals that ask to stop: who catches them, when they count, and how scripts leave."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from groupdnet_hub.runs import scripts, signals
from groupdnet_hub.runs.scripts import run_command
from groupdnet_hub.runs.signals import STOPPING, Stopped, StopSignals
from groupdnet_hub.runs.stopping import OUT_OF_TIME, StopAgreement
from tests.helpers.generate_runs import contents, flags, make_inputs, run
from tests.helpers.script_runs import Running
from tests.helpers.shared_data import ROOT
from tests.helpers.train_runs import train_here

if not hasattr(os, "fork"):
    pytest.skip("Windows has no such signals", allow_module_level=True)


@pytest.fixture(autouse=True)
def usual_handlers() -> object:
    """Those of a process that a terminal started, also where the tests are a background job."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_is_raised_and_the_handlers_of_before_come_back(number: int) -> None:
    before = [signal.getsignal(one) for one in STOPPING]
    with pytest.raises(Stopped) as stop, StopSignals():
        send(number)
    assert stop.value.status == 128 + number
    assert [signal.getsignal(one) for one in STOPPING] == before


def test_a_signal_is_noted_while_something_is_finished() -> None:
    with StopSignals() as caught:
        with caught.held():
            send(signal.SIGTERM)
            send(signal.SIGTERM)  # a launcher and a scheduler may both send it
            assert caught.asked == signal.SIGTERM
        with pytest.raises(Stopped):
            caught.raise_if_asked()


def test_only_a_second_ctrl_c_that_comes_later_ends_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    with StopSignals() as caught, caught.held():
        send(signal.SIGINT)
        send(signal.SIGINT)  # the same one, from the terminal and from a launcher
        monkeypatch.setattr(signals, "_SAME", -1.0)
        with pytest.raises(Stopped):
            send(signal.SIGINT)


def test_what_a_process_ignores_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with StopSignals() as caught:
        send(signal.SIGINT)
        assert caught.asked is None
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_another_thread_catches_nothing() -> None:
    handlers = []

    def work() -> None:
        with StopSignals():
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGTERM)]


def test_training_in_this_process_leaves_its_handlers(drawn: Path, tmp_path: Path) -> None:
    before = [signal.getsignal(one) for one in STOPPING]
    train_here(drawn, tmp_path / "run", "--perceptual_net", "none", "--max_train_steps", "1")
    assert [signal.getsignal(one) for one in STOPPING] == before
    # A run that is shorter than --checkpointing_steps has a checkpoint of its last step.
    assert (tmp_path / "run" / "checkpoint-1" / "progress.json").is_file()


def test_a_signal_counts_before_time() -> None:
    with StopSignals() as caught, caught.held():
        assert StopAgreement(caught, None, processes=1).reason() is None
        assert StopAgreement(caught, 1000, processes=1).reason() is None
        assert StopAgreement(caught, 0, processes=1).reason() == OUT_OF_TIME
        send(signal.SIGUSR1)
        assert StopAgreement(caught, 0, processes=1).reason() == signal.SIGUSR1


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (None, 3, ""),
        (Stopped(signal.SIGINT), 130, "some.py: stopped by Ctrl-C; the same command resumes\n"),
        (Stopped(signal.SIGTERM), 143, "some.py: stopped by SIGTERM; the same command resumes\n"),
        (Stopped(signal.SIGTERM, "at step 7"), 143, "some.py: at step 7\n"),
        (ValueError("no such flag"), 1, "some.py: no such flag\n"),
        (OSError("no such file"), 1, "some.py: no such file\n"),
        (ImportError("no such module"), 1, "some.py: no such module; pip install it\n"),
    ],
)
def test_scripts_leave_with_a_line_and_a_status(
    error: BaseException | None, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> int:
        if error is not None:
            raise error
        return 3

    with pytest.raises(SystemExit) as left:
        run_command("some.py", main, missing="pip install it")
    assert left.value.code == status
    assert capsys.readouterr().err == line


def test_every_script_ends_this_way() -> None:
    for path in (ROOT / "train").glob("*.py"):
        assert f'run_command(\n        "{path.name}"' in (text := path.read_text()) or (
            f'run_command("{path.name}"' in text
        ), path


def test_a_signal_is_passed_on_to_a_script_that_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import pathlib, signal, sys, time\n"
        "def stop(*given):\n"
        "    time.sleep(0.5)\n"
        f"    pathlib.Path({str(tmp_path / 'written')!r}).touch()\n"
        "    sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        f"pathlib.Path({str(tmp_path / 'ready')!r}).touch()\n"
        "time.sleep(60)\n"
    )
    monkeypatch.setattr(scripts, "shipped", lambda *parts: script)

    def later() -> None:
        while not (tmp_path / "ready").exists():
            time.sleep(0.01)
        send(signal.SIGTERM)

    threading.Thread(target=later).start()
    with pytest.raises(Stopped) as stop:
        scripts.run_script("script.py", [], processes=1, about="a test")
    assert stop.value.number == signal.SIGTERM
    assert (tmp_path / "written").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_generate_stops_and_resumes(tmp_path: Path, number: int) -> None:
    inputs = make_inputs(tmp_path / "inputs")
    given = (flags(inputs, tmp_path / name, "--num_per_map", "40") for name in ("whole", "stopped"))
    whole, stopped = given
    run(whole)
    running = Running(ROOT / "train" / "generate.py", stopped)
    images = tmp_path / "stopped" / "train" / "images"
    while running.poll() is None and (not images.is_dir() or len(list(images.glob("*.png"))) < 5):
        time.sleep(0.005)
    running.signal(number)
    ended = running.wait()
    assert ended.returncode == 128 + number
    assert "Traceback" not in ended.stderr
    name = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
    assert f"generate.py: stopped by {name}; the same command resumes" in ended.stderr
    assert not list(images.glob(".*"))
    run(stopped)
    assert contents(tmp_path / "stopped" / "train") == contents(tmp_path / "whole" / "train")
