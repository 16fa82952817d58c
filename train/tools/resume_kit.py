"""Resume a run from an unpacked kit: ``python KIT/train/tools/resume_kit.py --seconds 400 --state_to FOLDER``.

What follows ``--`` goes to ``train.py``, and wins over the flags that the kit holds. Afterwards the state is written as
files of limited size, from which a run at home resumes (``train/tools/state_parts.py join``). It needs no package
itself.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

KIT = Path(__file__).resolve().parents[2]
_TRAIN = KIT / "train"
_RECORDS = KIT / ".kit"


def resume(
    run: Path, seconds: float, flags: Sequence[str], split_flags: Sequence[str], compile_cache: Path | None
) -> int:
    """Train for some time, and write the state.

    Args:
        run: folder of the run.
        seconds: time of training.
        flags: flags of train.py, which win over the kit's.
        split_flags: flags of ``state_parts.py split``, among them ``--to``.
        compile_cache: folder of compiled code; by default in the kit.

    Returns:
        The exit status of ``train.py``; the state of its last checkpoint is written for any status.

    Raises:
        ValueError: for an incomplete kit, and without a state to write.
    """
    if not 0 < seconds < math.inf:
        raise ValueError(f"--seconds is {seconds}; it must be a number above 0")
    _check_complete()
    environment = environment_of(compile_cache)
    if (KIT / "state").is_dir() and not _steps(run):
        _run("tools/state_parts.py", ["join", str(KIT / "state"), "--to", str(run)], environment)
    before = _steps(run)
    status = subprocess.run(
        [sys.executable, str(_TRAIN / "train.py"), *kit_flags(run, seconds), *flags],
        env=environment,
        check=False,
    ).returncode
    if not _steps(run):
        raise ValueError(f"{run} has no checkpoint: training failed before it wrote one")
    if status and _steps(run) == before:
        raise ValueError(f"training failed with status {status} before it wrote a checkpoint")
    _run("tools/state_parts.py", ["split", str(run), *split_flags], environment)
    return status


def _check_complete() -> None:
    if not (_RECORDS / "kit.json").is_file():
        raise ValueError(f"{KIT} is not an unpacked kit: unpack one there with unpack.py")
    parts = json.loads((_RECORDS / "kit.json").read_text(encoding="utf-8"))["parts"]
    missing = [part["name"] for part in parts if not (_RECORDS / part["name"]).exists()]
    if missing:
        raise ValueError(f"the kit in {KIT} lacks {', '.join(missing)}: unpack them first")


def environment_of(compile_cache: Path | None) -> dict[str, str]:
    """Return the environment: compiled code is cached in the kit, or where the flag or the caller's variables say."""
    paths = filter(None, (str(KIT), os.environ.get("PYTHONPATH")))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    for name, folder in (("TORCHINDUCTOR_CACHE_DIR", "inductor"), ("TRITON_CACHE_DIR", "triton")):
        if compile_cache is not None:
            environment[name] = str(compile_cache.resolve() / folder)
        else:
            environment.setdefault(name, str(KIT / "compile_cache" / folder))
    return environment


def kit_flags(run: Path, seconds: float) -> list[str]:
    """Return the flags of ``train.py`` for what the kit holds."""
    flags = [
        "--output_dir",
        str(run),
        "--max_train_seconds",
        str(seconds),
        "--resume_from_checkpoint",
        "latest",
    ]
    for path in sorted(KIT.glob("flags.*")):
        flags += ["--args_file", str(path)]
    folders = sorted((KIT / "data").glob("*"), key=lambda folder: int(folder.name))
    if folders:
        flags += ["--train_data_dir", *map(str, folders)]
    for path in sorted((KIT / "weights").glob("*.safetensors")):
        flags += ["--perceptual_weights", str(path)]
    return flags


def _steps(run: Path) -> list[int]:
    """Return the steps of a run's checkpoints."""
    found = [re.fullmatch(r"checkpoint-(\d+)", path.name) for path in run.glob("checkpoint-*")]
    return sorted(int(match[1]) for match in found if match)


def _run(script: str, flags: Sequence[str], environment: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, str(_TRAIN / script), *flags], env=environment, check=False)
    if done.returncode:
        raise ValueError(f"{script} ended with status {done.returncode}")


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as those of the package's scripts are."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message.removeprefix('argument ')}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> None:
    """Resume, and end with the status of training."""
    parser = _Parser(prog="resume_kit.py", description=__doc__)
    add = parser.add_argument
    add("--seconds", type=float, required=True, help="time of training; loading and writing come on top")
    add("--state_to", type=Path, required=True, help="folder of the state's files")
    add("--output_dir", type=Path, default=KIT / "run", help="folder of the run; by default run/ in the kit")
    add("--compile_cache", type=Path, help="folder of torch.compile's code; by default in the kit")
    add(
        "--checkpoint_part_mb",
        type=float,
        default=16.0,
        help="largest file of the state, in millions of bytes",
    )
    add("--half_weights", action="store_true", help="see state_parts.py")
    add("--half_optimizer", action="store_true", help="see state_parts.py")
    add("--state_only", action="store_true", help="see state_parts.py")
    given = list(sys.argv[1:] if argv is None else argv)
    at = given.index("--") if "--" in given else len(given)
    args = parser.parse_args(given[:at])
    split = ["--to", str(args.state_to), "--checkpoint_part_mb", str(args.checkpoint_part_mb)]
    split += [f"--{name}" for name in ("half_weights", "half_optimizer", "state_only") if getattr(args, name)]
    sys.exit(resume(args.output_dir, args.seconds, given[at + 1 :], split, args.compile_cache))


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"resume_kit.py: {error}")
