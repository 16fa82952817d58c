"""Run ``space/app.py`` so that every warning is an error, but those that libraries raise of themselves.

It is for ``python -X dev -W error``, which also makes asyncio complain.
"""

from __future__ import annotations

import runpy
import sys
import warnings
from pathlib import Path

# Each with its reason; what a message begins with, as a regular expression.
EXCEPTIONS: tuple[tuple[str, type[Warning]], ...] = (
    # Gradio's safe_get_lock makes an event loop for each page, and leaves the one before, with its pair of sockets,
    # to the garbage collector.
    (r"unclosed event loop <_UnixSelectorEventLoop running=False", ResourceWarning),
    (r"unclosed <socket\.socket fd=\d+, family=1, type=1, proto=0>", ResourceWarning),
)

if __name__ == "__main__":
    for message, category in EXCEPTIONS:
        warnings.filterwarnings("ignore", message, category)
    app = Path(__file__).resolve().parents[2] / "space" / "app.py"
    sys.argv = [str(app)]
    sys.path[0] = str(app.parent)
    runpy.run_path(str(app), run_name="__main__")
