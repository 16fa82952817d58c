"""Pack all that a run needs for a machine without network: ``python train/tools/pack_for_gpu.py --to KIT ...``.

Code, prepared data, the perceptual net's weights and the last state of the run become tar files of limited size
(docs/gpu_kit.md).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import groupdnet_hub
from groupdnet_hub.config.validation import Ignored
from groupdnet_hub.runs.args_file import read_flags
from groupdnet_hub.runs.flags import parse_settings
from groupdnet_hub.runs.ignored import ignore_option
from groupdnet_hub.runs.scripts import is_clone
from groupdnet_hub.runs.settings import (
    Settings,
    above,
    existing_file,
    existing_folder,
    existing_folders,
    in_range,
    option,
)
from groupdnet_hub.training.config import TrainConfig
from groupdnet_hub.training.kit.data import PICTURES, pack_data, pack_weights
from groupdnet_hub.training.kit.parts import write_parts

_TOOLS = Path(__file__).resolve().parent
_ROOT = _TOOLS.parents[1]
_CODE = ("groupdnet_hub", "train", "pyproject.toml")
# Packed first, because it changes least; then the code, and the state last.
_FIRST = ("data", "weights", "extra")


# Flags of state_parts.py that make the state smaller.
_STATE_FLAGS = ("half_weights", "half_optimizer", "state_only")


def _args_file(name: str, path: Path) -> str | None:
    if not path.is_file():
        return f"{name}: there is no file {path}"
    fits = path.suffix in (".json", ".yaml", ".yml")
    return None if fits else f"{name}: {path.name} must end with .json, .yaml or .yml"


def _paths(name: str, paths: Sequence[Path]) -> str | None:
    return next((f"{name}: there is no {path}" for path in paths if not path.exists()), None)


@dataclass(frozen=True, kw_only=True)
class PackConfig(Settings):
    """Settings of pack_for_gpu.py: content of the kit, and its size."""

    to: Path = option(help="folder of the kit: kit-01.tar, ..., kit.json and unpack.py")
    part_mb: float = option(60.0, "largest size of a part, in millions of bytes", check=above(0))
    train_data_dir: tuple[Path, ...] | None = option(
        None,
        "prepared data: train/ and validation/ of paired folders, as train.py takes them",
        check=existing_folders,
        metavar="FOLDER",
    )
    ignore_id: tuple[Ignored, ...] = ignore_option(
        "ids of label maps, or colours as '#rrggbb', that stand for unknown pixels, such as 255: the packed "
        "classes.json lists them too"
    )
    pictures: str = option(
        "keep",
        "copy picture files, or encode them again as JPEG or, with every value kept, as PNG",
        choices=PICTURES,
    )
    jpeg_quality: int = option(92, "quality of --pictures jpeg, 1 to 100", check=in_range(1, 100))
    resolution: tuple[int, int] | None = option(
        None,
        "resize pictures and label maps as training would at this size",
        metavar=("HEIGHT", "WIDTH"),
    )
    perceptual_weights: Path | None = option(
        None, "safetensors file of the perceptual net, packed in half precision", check=existing_file
    )
    checkpoint: Path | None = option(
        None, "state to resume from: a checkpoint folder, or the folder of a run", check=existing_folder
    )
    half_weights: bool = option(
        False, "16-bit floats for the state's average, model folder and discriminator"
    )
    half_optimizer: bool = option(False, "bfloat16 for the state's optimiser moments")
    state_only: bool = option(
        False, "leave out the state's model folder and its fitted prior, which training measures again"
    )
    args_file: Path | None = option(
        None, "YAML or JSON file of train.py's flags, without paths", check=_args_file
    )
    add: tuple[Path, ...] | None = option(
        None, "more files or folders, put below extra/", check=_paths, metavar="PATH"
    )

    def check(self) -> None:
        """Refuse flags that have no effect, and a file of flags that train.py does not have."""
        super().check()
        if self.resolution and self.pictures == "keep":
            raise ValueError("--resolution encodes pictures again: give --pictures jpeg or png")
        if self.pictures != "jpeg":
            self.refuse_given(("jpeg_quality",), f"with --pictures {self.pictures}")
        if self.args_file is not None:
            read_flags(self.args_file, TrainConfig)  # here, not on the lent machine
        if self.ignore_id and not self.train_data_dir:
            raise ValueError("--ignore_id has no effect without --train_data_dir")
        if self.resolution and min(self.resolution) < 1:
            raise ValueError(f"--resolution is {self.resolution}; sides are at least 1")
        for name in _STATE_FLAGS:
            if getattr(self, name) and self.checkpoint is None:
                raise ValueError(f"--{name} has no effect without --checkpoint")


def pack(settings: PackConfig) -> list[Path]:
    """Collect everything in a temporary folder and write it as parts.

    Returns:
        The parts.

    Raises:
        ValueError: for input that cannot be packed.
    """
    with tempfile.TemporaryDirectory() as temporary:
        stage = Path(temporary)
        facts: dict[str, object] = {"commit": pack_code(stage)}
        if settings.train_data_dir:
            pictures: Counter[str] = Counter()
            for number, folder in enumerate(settings.train_data_dir, start=1):
                packed = pack_data(
                    folder,
                    stage / "data" / str(number),
                    pictures=settings.pictures,
                    quality=settings.jpeg_quality,
                    size=settings.resolution,
                    ignored=settings.ignore_id,
                )
                pictures.update(packed)
            facts["pictures"] = dict(pictures)
        if settings.perceptual_weights:
            pack_weights(settings.perceptual_weights, stage / "weights" / settings.perceptual_weights.name)
        for path in settings.add or ():
            target = stage / "extra" / path.resolve().name
            if target.exists():
                raise ValueError(f"--add: two of the paths are named {target.name}; rename one of them")
            target.parent.mkdir(exist_ok=True)
            (shutil.copytree if path.is_dir() else shutil.copyfile)(path, target)
        if settings.args_file:
            shutil.copyfile(settings.args_file, stage / f"flags{settings.args_file.suffix}")
        if settings.checkpoint:
            _pack_state(settings, stage / "state")
        there = sorted(path.name for path in stage.iterdir())
        code = [name for name in there if name not in (*_FIRST, "state")]
        order = [name for name in (*_FIRST, *code, "state") if name in there]
        return write_parts(
            stage, order, settings.to, int(settings.part_mb * 1e6), facts, _TOOLS / "unpack.py"
        )


def pack_code(stage: Path) -> str:
    """Copy the code that git tracks, with its changes, or all that a wheel installed.

    Returns:
        The commit that it is based on, or the version.
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


def _pack_state(settings: PackConfig, target: Path) -> None:
    command = [sys.executable, str(_TOOLS / "state_parts.py"), "split", str(settings.checkpoint)]
    command += ["--to", str(target), *(f"--{name}" for name in _STATE_FLAGS if getattr(settings, name))]
    paths = filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError((done.stderr.strip() or "state_parts.py failed").splitlines()[-1])


def main(argv: Sequence[str] | None = None) -> None:
    """Pack, and print the parts."""
    settings = parse_settings(PackConfig, argv, prog="pack_for_gpu.py", description=__doc__ or "")
    started = time.monotonic()
    for path in pack(settings):
        print(f"{path.name}  {path.stat().st_size / 1e6:.1f} MB")
    print(f"packed into {settings.to} in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"pack_for_gpu.py: {error}")
