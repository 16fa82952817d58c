"""The tests with chosen versions: ``tests/compatibility.py --python python3.10 torch==2.8.0 huggingface_hub==1.16.0``.

Makes a virtual environment and a clone of the last commit in a temporary folder, installs ``.[test]`` with these
versions, runs the tests that need no browser, prints what was installed and how it ended, and removes the folder. It
takes about 8 GB of disk and as long as the tests do.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_DISK = 10 * 2**30
_SHOWN = (
    "torch",
    "torchvision",
    "huggingface_hub",
    "gradio",
    "accelerate",
    "datasets",
    "transformers",
    "numpy",
)
_VERSIONS = """
import importlib.metadata, platform, sys
shown = [f"Python {platform.python_version()}"]
shown += [f"{name} {importlib.metadata.version(name)}" for name in sys.argv[1:]]
print(", ".join(shown))
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the tests' exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("pins", nargs="*", metavar="NAME==VERSION", help="versions; the newest that fit of everything else")
    add("--python", default=sys.executable, help="interpreter (default: this one)")
    add("--tests", nargs="+", default=["tests"], help="only these files of the clone")
    add("--folder", type=Path, help="work in this folder, and keep it")
    args = parser.parse_args(argv)
    folder = args.folder or Path(tempfile.mkdtemp(prefix="compatibility-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        free = shutil.disk_usage(folder).free
        if free < _DISK:
            sys.exit(
                f"compatibility.py: {folder} has {free / 2**30:.0f} GiB left and {_DISK / 2**30:.0f} are needed: set "
                "TMPDIR, or free some"
            )
        return _run(args.python, args.pins, args.tests, folder)
    finally:
        if args.folder is None:
            shutil.rmtree(folder)


def _run(python: str, pins: Sequence[str], tests: Sequence[str], folder: Path) -> int:
    checkout, fresh = folder / "checkout", folder / "venv" / "bin" / "python"
    shutil.rmtree(checkout, ignore_errors=True)
    subprocess.run(["git", "clone", "-q", str(_ROOT), str(checkout)], check=True)
    if not fresh.exists():
        subprocess.run([python, "-m", "venv", str(folder / "venv")], check=True)
    # uv, because pip may try every version of every package to find what goes with an old one.
    subprocess.run([str(fresh), "-m", "pip", "install", "-q", "uv"], check=True)
    install = [str(fresh.with_name("uv")), "pip", "install", "-q", "--no-cache", "--compile-bytecode"]
    subprocess.run([*install, "--python", str(fresh), "-e", f"{checkout}[test]", *pins], check=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(fresh), "-m", "pytest", "-q", "-m", "not slow and not browser", *tests],
        cwd=checkout,
        env=environment,
        check=False,
    )
    versions = [str(fresh), "-c", _VERSIONS, *_SHOWN]
    found = subprocess.run(versions, capture_output=True, text=True, check=True).stdout.strip()
    print(f"{'passed' if done.returncode == 0 else 'FAILED'} with {found}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
