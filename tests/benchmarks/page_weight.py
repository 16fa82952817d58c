"""What opening the page costs a visitor who was never there: ``python tests/benchmarks/page_weight.py [OTHER]``.

A Chromium without a cache opens the bundled model's page, of this checkout and of another one in turns, on a line that
is as fast as this machine and on one of 1.6 Mbit/s with 300 ms there and back. Printed are the bytes that came over the
line and the requests until the first picture was there, and how long it and the label canvas took (medians).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from tests.browser.conftest import chromium_with, serve
from tests.helpers.shared_data import ROOT

# A mobile phone's line as Chromium's developer tools imitate one: 1.6 Mbit/s, in bytes; milliseconds there and back.
SLOW = {"offline": False, "latency": 300, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 0.75e6 / 8}
# When the canvas holds a map (it is transparent before), and when the picture is there, in seconds of the page's clock.
_WATCH = """
window.seen = {};
const timer = setInterval(() => {
  const canvas = document.querySelector("#painter canvas");
  const [x, y] = [canvas?.width >> 1, canvas?.height >> 1];
  const painted = canvas?.width && canvas.getContext("2d").getImageData(x, y, 1, 1).data[3];
  if (!seen.canvas && painted) seen.canvas = performance.now();
  if (!seen.picture && document.querySelector("#picture img")) seen.picture = performance.now();
  if (seen.canvas && seen.picture) clearInterval(timer);
}, 20);
"""


@dataclass(frozen=True)
class Visit:
    """What one visit cost.

    Attributes:
        bytes: that came over the line, headers included.
        requests: how many there were.
        canvas, picture: seconds until there was a map on the canvas, and the first picture.
    """

    bytes: float
    requests: float
    canvas: float
    picture: float


def main() -> None:
    """Print a Markdown table with a line for each checkout and each line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("other", nargs="?", type=Path, help="a checkout of another commit")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--list", action="store_true", help="list the requests of the last visit, the largest first"
    )
    args = parser.parse_args()
    roots = {"this": ROOT} | ({"other": args.other.resolve()} if args.other else {})
    visits: dict[tuple[str, str], list[Visit]] = defaultdict(list)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        addresses = {}
        for name, root in roots.items():
            (folder / name).mkdir()
            addresses[name] = stack.enter_context(serve(None, None, folder / name, root))[0]
        for address in addresses.values():
            visit(
                address, folder, SLOW | {"latency": 0, "downloadThroughput": -1}
            )  # the model is loaded by then
        for _ in range(args.repeats):
            for line, conditions in (("fast", None), ("slow", SLOW)):
                for name, address in addresses.items():
                    cost, listed = visit(address, folder, conditions)
                    visits[name, line].append(cost)
    print("| checkout | line | kB | requests | canvas, s | first picture, s |\n|---|---|---|---|---|---|")
    for (name, line), costs in visits.items():
        size, requests, canvas, picture = (
            statistics.median(column) for column in zip(*map(astuple, costs), strict=True)
        )
        print(f"| {name} | {line} | {size / 1000:.0f} | {requests:.0f} | {canvas:.2f} | {picture:.2f} |")
    if args.list:
        for url, size in sorted(listed.items(), key=lambda one: -one[1]):
            print(f"{size:8.0f} {url}")


def visit(address: str, folder: Path, conditions: dict[str, Any] | None) -> tuple[Visit, dict[str, float]]:
    """Open the page in a new Chromium; return what it cost, and the bytes of each request."""
    with (
        tempfile.TemporaryDirectory(dir=folder) as profile,
        chromium_with(Path(profile), logs=("browser", "performance")) as browser,
    ):
        browser.execute_cdp_cmd("Network.enable", {})
        if conditions is not None:
            browser.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)
        browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _WATCH})
        browser.get(address)
        end = time.monotonic() + 120
        while not (seen := browser.execute_script("return window.seen") or {}).keys() >= {
            "canvas",
            "picture",
        }:
            if time.monotonic() > end:
                raise TimeoutError(f"{address} shows {sorted(seen)} only after two minutes")
            time.sleep(0.05)
        listed = transferred(browser.get_log("performance"))
    return Visit(sum(listed.values()), len(listed), seen["canvas"] / 1000, seen["picture"] / 1000), listed


def transferred(log: list[dict[str, Any]]) -> dict[str, float]:
    """Return the bytes of each request by its address; of what still runs, those so far."""
    addresses: dict[str, str] = {}
    sizes: dict[str, float] = defaultdict(float)
    for entry in log:
        message = json.loads(entry["message"])["message"]
        event, about = message["method"], message["params"]
        if event == "Network.requestWillBeSent" and about["request"]["url"].startswith("http"):
            addresses[about["requestId"]] = about["request"]["url"]
        elif event == "Network.dataReceived":
            sizes[about["requestId"]] += about["encodedDataLength"]
        elif event == "Network.loadingFinished":
            sizes[about["requestId"]] = about["encodedDataLength"]
    return {f"{address} ({number})": sizes[number] for number, address in addresses.items()}


if __name__ == "__main__":
    main()
