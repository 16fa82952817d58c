"""Runs of scripts in processes of their own that start at once: forks of one that has imported torch and the scripts.

A process that a user starts imports for seconds; here that is done once for all tests of a session. What is read while
something is imported (``HF_HOME``, ``HF_ENDPOINT``) must be told by :func:`subprocess.run` instead.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

_CONTEXT = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
if hasattr(os, "fork"):
    _CONTEXT.set_forkserver_preload(
        ["torch", "torchvision", "accelerate", "train.train", "train.generate", "train.evaluate"]
    )


@dataclass(frozen=True)
class Ended:
    """What a script did, as :class:`subprocess.CompletedProcess` has it; of several processes one after the other."""

    returncode: int
    stdout: str
    stderr: str


class Running:
    """A script that was started, in one process or in several that work together.

    Args:
        script: a file.
        arguments: of its command line.
        environment: variables beside those of this process; None takes one away.
        processes: how many; they find each other as those of ``torchrun`` do.
        file_size: most bytes of a file; a write beyond them fails, as on a full disk.
        own_group: whether each process leads a process group, so that :meth:`signal` reaches its workers too.
    """

    def __init__(
        self,
        script: Path,
        arguments: Sequence[str],
        environment: Mapping[str, str | None] | None = None,
        *,
        processes: int = 1,
        file_size: int | None = None,
        own_group: bool = False,
    ) -> None:
        self._own_group = own_group
        self._said = tempfile.TemporaryDirectory(prefix="script-")
        variables: dict[str, str | None] = {
            "OMP_NUM_THREADS": "1",
            "ACCELERATE_USE_CPU": "true",
            **(environment or {}),
        }
        if processes > 1:
            # Kept by this process, as torchrun keeps it: the port is not given up between finding and using it.
            self._store = torch.distributed.TCPStore(
                "127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(minutes=5)
            )
            variables |= {
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(self._store.port),
                "TORCHELASTIC_USE_AGENT_STORE": "True",
                "TORCHELASTIC_RESTART_COUNT": "0",
                "WORLD_SIZE": str(processes),
                "LOCAL_WORLD_SIZE": str(processes),
                # Several find each other by themselves, as a user's would.
                "ACCELERATE_USE_CPU": None,
                "CUDA_VISIBLE_DEVICES": "",
            }
        self._processes: list[Any] = []
        for rank in range(processes):
            own = variables if processes == 1 else {**variables, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            files = [str(Path(self._said.name) / f"{stream}-{rank}") for stream in ("stdout", "stderr")]
            command = [str(script), *arguments]
            process = _CONTEXT.Process(target=_run, args=(command, own, files, file_size, own_group))
            process.start()
            self._processes.append(process)

    @property
    def pid(self) -> int:
        """The number of the first process."""
        return self._processes[0].pid

    def poll(self) -> int | None:
        """The exit status; None while all that is well goes on."""
        codes = [process.exitcode for process in self._processes]
        if any(codes):
            return next(code for code in codes if code)
        return None if None in codes else 0

    def stderr(self) -> str:
        """What they have written there so far."""
        return self._read("stderr")

    def signal(self, number: int, rank: int = 0) -> None:
        """Send a signal to one of the processes, or to its group, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if self._own_group else os.kill)(self._processes[rank].pid, number)

    def kill(self) -> None:
        """Kill -9, and wait for the end."""
        for process in self._processes:
            process.kill()
            process.join()

    def wait(self, seconds: float = 600) -> Ended:
        """Wait for the end; what has not ended by then, and what waits for one that failed, is killed."""
        end = time.monotonic() + seconds
        while (status := self.poll()) is None and time.monotonic() < end:
            time.sleep(0.01)
        if status is not None:  # others that fail for the same reason say so too
            for process in self._processes:
                process.join(5)
        self.kill()
        if status is None:
            raise TimeoutError(
                f"the script did not end in {seconds:g} s; it said {self._read('stderr')[-3000:]}"
            )
        ended = Ended(status, self._read("stdout"), self._read("stderr"))
        self._said.cleanup()
        return ended

    def _read(self, stream: str) -> str:
        return "".join(path.read_text() for path in sorted(Path(self._said.name).glob(f"{stream}-*")))


def run_script(script: Path, arguments: Sequence[str], *args: Any, **options: Any) -> Ended:
    """:class:`Running` to its end."""
    return Running(script, arguments, *args, **options).wait()


def _run(
    command: list[str],
    variables: Mapping[str, str | None],
    files: list[str],
    file_size: int | None,
    own_group: bool,
) -> None:
    # Shells have background jobs ignore it, and what these start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if own_group:
        os.setpgid(0, 0)
    for descriptor, name in zip((1, 2), files, strict=True):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT, 0o600), descriptor)
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if file_size is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    sys.argv = command
    runpy.run_path(command[0], run_name="__main__")
