"""Kill -9 at random moments of everything that writes files: ``python tests/reliability/kills.py --kills 100``.

Each writer replaces something old by something new in a process of its own, which is killed at a random moment of the
time that it takes, and once more at each of its file operations (``--operations``: creating, renaming, removing). Then
the old or the new must be there, whole, and the next start must end with the new and without leftovers. Ends with
status 1 at the first fault.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "space")]

os.environ["TQDM_DISABLE"] = "1"  # its thread does not survive a fork

import torch  # noqa: E402
from tqdm import tqdm  # noqa: E402

from tests.reliability.writers import WRITERS, Writer  # noqa: E402

_OPERATIONS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod"}


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100, help="at random moments, of each writer")
    parser.add_argument("--operations", action="store_true", help="also at each file operation")
    parser.add_argument("--writers", nargs="+", choices=tuple(WRITERS), default=list(WRITERS))
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)  # the processes are forks of this one
    # Its own lock is one for all of them: a process that is killed while it holds it would stop all others for good.
    tqdm.set_lock(threading.RLock())
    print(f"seed {args.seed}")
    for name in args.writers:
        with tempfile.TemporaryDirectory() as folder:
            writer = WRITERS[name](Path(folder) / "written", Path(folder) / "scratch")
            (Path(folder) / "scratch").mkdir(exist_ok=True)
            moments = random.Random(f"{args.seed}/{name}")
            try:
                line = at_random_moments(writer, args.kills, moments)
                if args.operations:
                    line += "; " + at_each_operation(writer)
            except (AssertionError, KeyError, ValueError, OSError) as error:
                print(f"{writer.label}: FAULT: {type(error).__name__}: {error}", flush=True)
                return 1
            print(f"{writer.label}: {line}", flush=True)
    return 0


def at_random_moments(writer: Writer, kills: int, moments: random.Random) -> str:
    """So many kills that found the writer alive."""
    seconds = min(_duration(writer) for _ in range(5))
    found: Counter[str] = Counter()
    for number in range(100 * kills):
        if found.total() == kills:
            break
        writer.begin()
        process, reports = _start(writer)
        moment = moments.uniform(0, seconds)
        time.sleep(moment)
        os.kill(process, signal.SIGKILL)
        if _ended_by_kill(process):
            found[_check(writer, reports, f"kill {number} after {1000 * moment:.2f} ms")] += 1
        else:
            os.close(reports)
    assert found.total() == kills, "the writer always ended first"
    return f"{kills} kills in {1000 * seconds:.0f} ms: {found['old']} old, {found['new']} new, 0 lost"


def at_each_operation(writer: Writer) -> str:
    """A kill before each operation on files, until the writer gets through."""
    found: Counter[str] = Counter()
    while True:
        for _ in range(2):  # a writer may alternate between two cases
            writer.begin()
            process, reports = _start(writer, kill_at=found.total() // 2)
            killed = _ended_by_kill(process)
            state = _check(writer, reports, f"operation {found.total() // 2}")
            if killed:
                found[state] += 1
            elif found.total() % 2 == 0:
                return f"{found.total()} at file operations: {found['old']} old, {found['new']} new, 0 lost"
            else:
                found[state] += 1


def _duration(writer: Writer) -> float:
    writer.begin()
    process, reports = _start(writer)
    started = time.perf_counter()
    assert not _ended_by_kill(process)
    os.close(reports)
    return time.perf_counter() - started


def _check(writer: Writer, reports: int, when: str) -> str:
    """What is there after a kill; then the next start."""
    reported = len(os.read(reports, 2**16))
    os.close(reports)
    try:
        state = writer.found(reported)
        writer.start_again()
        assert writer.found(writer.promises) == "new"
        left = {
            name
            for name in writer.names()
            if ".partial" in name or ("/." in f"/{name}" and "prepare" not in name)
        }
        assert not left, f"left behind: {sorted(left)}"
    except Exception as error:
        raise AssertionError(
            f"{when}: {type(error).__name__}: {error}; there are {sorted(writer.names())}"
        ) from error
    return state


def _is_leftover(name: str) -> bool:
    """A journal of SQLite; or hidden, and not one of the two records of prepare.py."""
    return name.endswith("-journal") or any(
        part.startswith(".") and not part.startswith(".prepare.json") for part in name.split("/")
    )


def _start(writer: Writer, kill_at: int | None = None) -> tuple[int, int]:
    """A process that writes; its number, and where it reports what it has promised. It has begun to write."""
    started, begin = os.pipe()
    reports, report = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 2)
            if kill_at is not None:
                sys.addaudithook(_killer(kill_at))
            os.write(begin, b".")
            writer.write(lambda: os.write(report, b"."))
        finally:
            os._exit(0)
    os.close(begin)
    os.close(report)
    os.read(started, 1)
    os.close(started)
    return process, reports


def _killer(after: int) -> Callable[[str, tuple[object, ...]], None]:
    """An audit hook that kills its process at a file operation that changes something."""
    left = after

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event not in _OPERATIONS:
            return
        if event == "open":
            flags = arguments[2]
            if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    return hook


def _ended_by_kill(process: int) -> bool:
    _, status = os.waitpid(process, 0)
    return os.WIFSIGNALED(status)


if __name__ == "__main__":
    sys.exit(main())
