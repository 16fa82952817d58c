"""Work sharded over processes, with the same result for any number of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list, gather_object
from tqdm.auto import tqdm

from groupdnet_hub.data.checks.listing import listed
from groupdnet_hub.runs.accelerators import build_accelerator
from groupdnet_hub.runs.output_lock import sole_writer
from groupdnet_hub.runs.scripts import ListedError, first_line

# A process that has finished its shard waits for the slowest one, which may take long.
_LONGEST_WAIT = timedelta(days=7)
# Items that wait for a thread, each: a queue of millions would fill the memory.
_QUEUED = 64

T = TypeVar("T")


def start_accelerator(mixed_precision: str = "no") -> Accelerator:
    """Return an accelerator for independent shards of work. On a CPU each process has one thread."""
    accelerator = build_accelerator(
        mixed_precision=mixed_precision,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_LONGEST_WAIT)],
    )
    if accelerator.device.type == "cpu":
        torch.set_num_threads(1)  # the number of threads changes the rounding of sums
    return accelerator


@contextmanager
def sole_run(accelerator: Accelerator, folder: Path, name: str, otherwise: str) -> Iterator[None]:
    """Hold :func:`sole_writer` on the main process for all processes of a run.

    Args:
        accelerator: accelerator of the run.
        folder: folder that is written to.
        name: what writes there.
        otherwise: what else to do, for the message.

    Raises:
        ValueError: on every process alike, if another run holds it or the folder cannot be written to.
    """
    with ExitStack() as held:
        on_main_process(accelerator, lambda: held.enter_context(sole_writer(folder, name, otherwise)))
        yield


def on_main_process(accelerator: Accelerator, fn: Callable[[], T]) -> T:
    """Return on every process what a function returns on the main process, which alone calls it.

    Raises:
        ValueError: on every process alike, if it raises that or an OSError.
    """
    found: list[Any] = [None, None]
    if accelerator.is_main_process:
        try:
            found[0] = fn()
        except (ValueError, OSError) as error:
            found[1] = str(error)
    broadcast_object_list(found)
    if found[1] is not None:
        raise ValueError(found[1])
    answer: T = found[0]
    return answer


def shard(count: int, accelerator: Accelerator) -> range:
    """Return this process's shard of ``range(count)``, contiguous so that few label maps are read twice.

    Not ``split_between_processes``, which gives the last item to every process whose shard would be empty.
    """
    index, processes = accelerator.process_index, accelerator.num_processes
    return range(count * index // processes, count * (index + 1) // processes)


def run_sharded(
    count: int,
    fn: Callable[[int], Any],
    accelerator: Accelerator,
    description: str | None,
    *,
    threads: int = 1,
) -> list[Any]:
    """Return ``[fn(i) for i in range(count)]`` on all processes, each item computed by one of them.

    Args:
        count: number of items.
        fn: function of the item's index.
        accelerator: accelerator of the run.
        description: text of the progress bar; None for no bar.
        threads: number of threads of each process that compute items.

    Raises:
        ValueError: the first error that ``fn`` raised, on every process alike.
    """
    answers: list[Any] = []
    problem = None
    indices = shard(count, accelerator)
    computed = map(fn, indices) if threads == 1 else _in_threads(fn, indices, threads)
    hidden = description is None or not accelerator.is_main_process
    bar = tqdm(computed, total=len(indices), desc=description, disable=hidden)
    try:
        for answer in bar:
            answers.append(answer)
    except (ValueError, OSError) as error:
        problem = str(error)
    gathered = gather_object([(answers, problem)])
    for _, found in gathered:
        if found is not None:
            raise ValueError(found)
    return [answer for part, _ in gathered for answer in part]


def read_sharded(
    count: int, fn: Callable[[int], Any], accelerator: Accelerator, description: str
) -> list[Any]:
    """Return what :func:`run_sharded` does for a function that reads an item, and name all that cannot be read at once.

    Raises:
        ValueError: naming the bad items, on every process alike.
    """

    def read(index: int) -> tuple[Any, str | None]:
        try:
            return fn(index), None
        except (ValueError, OSError) as error:
            return None, first_line(error)

    found = run_sharded(count, read, accelerator, description)
    problems = [problem for _, problem in found if problem is not None]
    if len(problems) == 1:
        raise ValueError(problems[0])
    if problems:
        raise ListedError(f"{len(problems)} of {count} items cannot be read:\n{listed(problems)}")
    return [answer for answer, _ in found]


def _in_threads(fn: Callable[[int], Any], indices: range, threads: int) -> Iterator[Any]:
    step = _QUEUED * threads
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(indices), step):
            yield from pool.map(fn, indices[start : start + step])


def picture_seed(seed: int, map_index: int, number: int) -> int:
    """Return the seed of one picture of a label map, below 2**53, so that every JSON reader keeps it exactly."""
    state = np.random.SeedSequence((seed, map_index, number)).generate_state(1, np.uint64)
    return int(state[0]) >> 11
