"""The scripts and the page that ship beside the package, scripts started by another one, and how they end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import torch.distributed as dist
from tqdm import tqdm

from groupdnet_hub.runs.signals import Stopped, StopSignals, die_quietly, follow_launcher

COMMAND = "groupdnet"
_PACKAGE = Path(__file__).resolve().parents[1]
# Where pyproject.toml has a wheel put train/ and space/.
_BUNDLED = "_bundled"
# How torch tells of a process that is gone: a loader's worker, and another one of the run.
_WORKER = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is )?(.*?)[.\s]*$")
# Of gloo, which raises a plain RuntimeError.
_PEER = re.compile(r"gloo|Connection (closed|reset) by peer", re.IGNORECASE)


def is_clone() -> bool:
    """Tell whether the package is that of a clone, not one that a wheel installed."""
    return not (_PACKAGE / _BUNDLED).is_dir()


def shipped(*parts: str) -> Path:
    """Return a path in ``train/`` or ``space/``: those of a clone, or those that a wheel has inside of the package."""
    return (_PACKAGE.parent if is_clone() else _PACKAGE / _BUNDLED).joinpath(*parts)


def program(script: str) -> str:
    """Return what usage lines and messages call a script: its file's name, or ``groupdnet NAME`` if that started it."""
    return sys.argv[0] if sys.argv[0].startswith(f"{COMMAND} ") else script


def run_here(script: Path, name: str, flags: Sequence[str]) -> None:
    """Run a script in this process, as Python runs the one that it is started with.

    Args:
        script: path of the script.
        name: what it is called in its messages.
        flags: its command line.
    """
    main = ModuleType("__main__")  # whose file spawned workers import, as that of any script
    main.__file__ = str(script)
    caller, sys.modules["__main__"] = sys.modules["__main__"], main
    sys.path.insert(0, str(script.parent))  # where app.py has its modules
    sys.argv = [name, *flags]  # runpy.run_path would have its path for a name
    try:
        SourceFileLoader("__main__", str(script)).exec_module(main)
    finally:
        sys.modules["__main__"] = caller


def run_script(script: str, flags: Sequence[str], *, processes: int, about: str) -> None:
    """Run a script of ``train/`` to its end.

    Args:
        script: file name of the script.
        flags: its command line.
        processes: number of processes.
        about: subject of the run, in the message.

    Raises:
        ValueError: if it fails.
    """
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    with StopSignals() as signals, signals.held():
        process = subprocess.Popen([*command, str(shipped("train", script)), *flags])
        try:
            status = _ended(process, signals)
        except BaseException:  # a second Ctrl-C
            process.kill()
            raise
    signals.raise_if_asked()
    if status:
        raise ValueError(
            f"{script} ended with status {status} for {about}: fix the error above, and start this command again to "
            "resume"
        )


def _ended(process: subprocess.Popen[bytes], signals: StopSignals) -> int:
    """Wait for a script; pass on a signal that asks to stop, and let it finish what it then writes."""
    told = False
    while True:
        try:
            return process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            pass
        # The terminal sends Ctrl-C to both; a launcher does not pass on all signals.
        if signals.asked not in (None, signal.SIGINT) and not told:
            process.terminate()
            told = True


def run_command(
    script: str,
    main: Callable[[], int | None],
    *,
    stopped: str = "the same command resumes",
    missing: str | None = None,
    failure: int = 1,
    wording: Callable[[BaseException], str] = str,
) -> None:
    """Run a script's main function, and leave with its exit status unless that is 0.

    What cannot be done is one line on stderr. So is a signal that asks to stop, whose exit status is 128 plus its
    number: 130 for Ctrl-C, 143 for ``SIGTERM``. A process whose launcher is killed stops as well.

    Args:
        script: file name of the script.
        main: its main function; returns an exit status or None.
        stopped: what to do after a signal, where ``main`` does not say it.
        missing: what to do about a package that is missing; None leaves that error as it is.
        failure: exit status of what cannot be done.
        wording: makes the line of an error.
    """
    first_process = os.environ.get("RANK", "0") == "0"

    def say(message: str, *, everywhere: bool = False) -> None:
        if first_process or everywhere:
            tqdm.write(f"{program(script)}: {message}", file=sys.stderr)  # not into a progress bar

    follow_launcher(say)
    try:
        with StopSignals():
            status = main()
    except Stopped as stop:
        die_quietly()
        say(str(stop) or f"stopped by {stop.by}; {stopped}")
        status = stop.status
    except (ValueError, OSError) as error:
        say(wording(error), everywhere=True)
        status = failure
    except ImportError as error:
        if missing is None:
            raise
        say(f"{error}; {missing}", everywhere=True)
        status = failure
    if status:
        sys.exit(status)


class ListedError(ValueError):
    """Raised for several items at once: a line of its message for each of them."""


def first_line(error: BaseException) -> str:
    """Return an error's message on one line, or as it is for one that lists items.

    Of one from a data loader's worker it is that of what was raised there.
    """
    if isinstance(error, ListedError):
        return str(error)
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if lines[0].startswith("Caught "):
        return lines[-1].split(": ", 1)[-1]
    return lines[0]


def lost_process(error: BaseException) -> str | None:
    """Return a message for an error that tells of a worker or another process of the run which is gone; else None."""
    text = (str(error).strip().splitlines() or [""])[0]
    if (found := _WORKER.search(text)) is not None:
        number, how = found.groups()
        return (
            f"a process that read pictures is gone (number {number}, {how}): perhaps memory ran out; lower "
            "--dataloader_num_workers or --cache_gb"
        )
    of_torch = dist.is_available() and isinstance(error, dist.DistError)
    if isinstance(error, RuntimeError) and (of_torch or _PEER.search(text)):
        why = re.sub(r"\[[^\]]*\]:?\S*\s*", "", text).split(". ")[0][:120]
        return f"another process of the run is gone ({why}): its own message says more"
    return None
