"""What a film costs those who wait beside it: ``python tests/benchmarks/film_beside.py``.

A program asks the page's bundled model for samples, in turns alone and while another program has a film of 80 frames
made; the mean waits of both, and their ratio, are printed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.browser.conftest import serve

# The full range, there and back: 80 frames of 41 pictures.
FILM = ("current", "example 2", None, "gif", True)


def main() -> None:
    """Print the waits and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=8, help="in each turn")
    parser.add_argument("--turns", type=int, default=4)
    args = parser.parse_args()
    from gradio_client import Client

    with tempfile.TemporaryDirectory() as name, serve(None, None, Path(name)) as (address, _):
        options: dict[str, Any] = {"verbose": False, "analytics_enabled": False, "download_files": name}
        visitor, filming = Client(address, **options), Client(address, **options)
        waits(visitor, args.samples)  # the model is loaded, and its fixed classes are found
        alone: list[float] = []
        beside: list[float] = []
        for _ in range(args.turns):
            alone += waits(visitor, args.samples)
            job = filming.submit(*FILM, api_name="/film")
            while job.status().progress_data is None:
                time.sleep(0.01)
            beside += waits(visitor, args.samples, job)
            job.cancel()
    usual, longer = statistics.mean(alone), statistics.mean(beside)
    print(f"a sample alone: {usual:.3f} s, at most {max(alone):.3f} s ({len(alone)} samples)")
    print(f"beside a film: {longer:.3f} s, at most {max(beside):.3f} s ({len(beside)} samples)")
    print(f"ratio: {longer / usual:.2f}")


def waits(client: Any, count: int, film: Any = None) -> list[float]:
    """Return how long each of some samples took; only those that came before a film's end, if there is one."""
    taken = []
    for seed in range(count):
        start = time.perf_counter()
        client.predict(seed, api_name="/sample")
        if film is not None and film.done():
            break
        taken.append(time.perf_counter() - start)
    return taken


if __name__ == "__main__":
    main()
