"""Pack all that a run needs for a machine without network: ``python train/tools/pack_for_gpu.py --to KIT ...``.

Code, prepared data, the perceptual net's weights and the last state of the run become tar files of limited size
(docs/gpu_kit.md).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import groupdnet_hub
from groupdnet_hub.runs.scripts import is_clone
from groupdnet_hub.training.kit.data import PICTURES, pack_data, pack_weights
from groupdnet_hub.training.kit.parts import write_parts

_TOOLS = Path(__file__).resolve().parent
_ROOT = _TOOLS.parents[1]
_CODE = ("groupdnet_hub", "train", "pyproject.toml")
# What changes least is packed first, then the code, and the state last.
_FIRST = ("data", "weights", "extra")


def pack(args: argparse.Namespace) -> list[Path]:
    """Gather everything in a temporary folder and write it as parts.

    Returns:
        The parts.

    Raises:
        ValueError: for input that cannot be packed.
    """
    with tempfile.TemporaryDirectory() as temporary:
        stage = Path(temporary)
        facts: dict[str, object] = {"commit": _pack_code(stage)}
        if args.train_data_dir:
            pictures: Counter[str] = Counter()
            for number, folder in enumerate(args.train_data_dir, start=1):
                packed = pack_data(
                    folder,
                    stage / "data" / str(number),
                    pictures=args.pictures,
                    quality=args.jpeg_quality,
                    size=args.resolution and tuple(args.resolution),
                )
                pictures.update(packed)
            facts["pictures"] = dict(pictures)
        if args.perceptual_weights:
            pack_weights(args.perceptual_weights, stage / "weights" / args.perceptual_weights.name)
        for path in args.add or ():
            target = stage / "extra" / path.resolve().name
            if target.exists():
                raise ValueError(f"--add: two of the paths are named {target.name}; rename one of them")
            target.parent.mkdir(exist_ok=True)
            (shutil.copytree if path.is_dir() else shutil.copyfile)(path, target)
        if args.args_file:
            shutil.copyfile(args.args_file, stage / f"flags{args.args_file.suffix}")
        if args.checkpoint:
            _pack_state(args, stage / "state")
        there = sorted(path.name for path in stage.iterdir())
        code = [name for name in there if name not in (*_FIRST, "state")]
        order = [name for name in (*_FIRST, *code, "state") if name in there]
        return write_parts(stage, order, args.to, int(args.part_mb * 1e6), facts, _TOOLS / "unpack.py")


def _pack_code(stage: Path) -> str:
    """Copy what git tracks of the code, as it is now, or all that a wheel installed.

    Returns:
        The commit it is based on, or the version.
    """
    if not is_clone():
        unneeded = shutil.ignore_patterns("__pycache__", "_bundled")
        shutil.copytree(Path(groupdnet_hub.__file__).parent, stage / "groupdnet_hub", ignore=unneeded)
        shutil.copytree(_TOOLS.parent, stage / "train", ignore=unneeded)
        return f"version {groupdnet_hub.__version__}"
    try:
        listed = _git("ls-files", "-z", "--", *_CODE).split("\0")
        commit = _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*").strip()
    except (OSError, subprocess.CalledProcessError):
        raise ValueError(f"{_ROOT} is not a git checkout: the code that git tracks is packed") from None
    for name in filter(None, listed):
        if (_ROOT / name).is_file():
            (stage / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(_ROOT / name, stage / name)
    return commit


def _git(*command: str) -> str:
    return subprocess.run(
        ["git", "-C", str(_ROOT), *command], capture_output=True, text=True, check=True
    ).stdout


def _pack_state(args: argparse.Namespace, target: Path) -> None:
    command = [sys.executable, str(_TOOLS / "state_parts.py"), "split", str(args.checkpoint)]
    command += ["--to", str(target), *(f"--{name}" for name in _STATE_FLAGS if getattr(args, name))]
    paths = filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError((done.stderr.strip() or "state_parts.py failed").splitlines()[-1])


_STATE_FLAGS = {
    "half_weights": "16-bit floats for the state's average, model folder and discriminator",
    "half_optimizer": "bfloat16 for the state's optimiser moments",
    "state_only": "leave out the state's model folder and its fitted prior, which training measures again",
}


def build_parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = argparse.ArgumentParser(prog="pack_for_gpu.py", description=__doc__)
    add = parser.add_argument
    add("--to", type=Path, required=True, help="folder of the kit: kit-01.tar, ..., kit.json and unpack.py")
    add("--part_mb", type=float, default=60.0, help="largest size of a part, in millions of bytes")
    add(
        "--train_data_dir",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="prepared data: train/ and validation/ of paired folders, as train.py takes them",
    )
    add(
        "--pictures",
        choices=PICTURES,
        default="keep",
        help="copy picture files, or encode them again as JPEG or, with every value kept, as PNG",
    )
    add("--jpeg_quality", type=int, default=92, help="quality of --pictures jpeg, 1 to 100")
    add(
        "--resolution",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="resize pictures and label maps as training would at this size",
    )
    add(
        "--perceptual_weights",
        type=Path,
        help="safetensors file of the perceptual net, packed in half precision",
    )
    add("--checkpoint", type=Path, help="state to resume from: a checkpoint folder, or the folder of a run")
    for name, text in _STATE_FLAGS.items():
        add(f"--{name}", action="store_true", help=text)
    add("--args_file", type=Path, help="YAML or JSON file of train.py's flags, without paths")
    add("--add", type=Path, nargs="+", metavar="PATH", help="more files or folders, put below extra/")
    return parser


def find_problem(args: argparse.Namespace) -> str | None:
    """What is wrong with the flags; None if nothing is."""
    for path in args.train_data_dir or ():
        if not path.is_dir():
            return f"--train_data_dir: there is no folder {path}"
    if args.checkpoint is not None and not args.checkpoint.is_dir():
        return f"--checkpoint: there is no folder {args.checkpoint}"
    for name in ("perceptual_weights", "args_file"):
        path = getattr(args, name)
        if path is not None and not path.is_file():
            return f"--{name}: there is no file {path}"
    for path in args.add or ():
        if not path.exists():
            return f"--add: there is no {path}"
    if args.args_file is not None and args.args_file.suffix not in (".json", ".yaml", ".yml"):
        return f"--args_file: {args.args_file.name} must end with .json, .yaml or .yml"
    if not args.part_mb > 0:
        return f"--part_mb is {args.part_mb}; it must be above 0"
    if not 1 <= args.jpeg_quality <= 100:
        return f"--jpeg_quality is {args.jpeg_quality}; it must lie from 1 to 100"
    if args.resolution and args.pictures == "keep":
        return "--resolution encodes pictures again: give --pictures jpeg or png"
    if args.resolution and min(args.resolution) < 1:
        return f"--resolution is {args.resolution}; sides are at least 1"
    if any(getattr(args, name) for name in _STATE_FLAGS) and args.checkpoint is None:
        given = next(name for name in _STATE_FLAGS if getattr(args, name))
        return f"--{given} has no effect without --checkpoint"
    return None


def main(argv: Sequence[str] | None = None) -> None:
    """Pack, and say what became of it."""
    parser = build_parser()
    args = parser.parse_args(argv)
    problem = find_problem(args)
    if problem:
        parser.error(problem)
    started = time.monotonic()
    for path in pack(args):
        print(f"{path.name}  {path.stat().st_size / 1e6:.1f} MB")
    print(f"packed into {args.to} in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"pack_for_gpu.py: {error}")
