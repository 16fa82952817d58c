"""Coverage-guided fuzzing of the readers: ``python tests/fuzz/run_atheris.py TARGETS -runs=100000 [FOLDER]``.

Needs ``pip install atheris`` (Linux, Python 3.11 to 3.13). TARGETS are names of ``targets.TARGETS`` with commas between
them, or ``all``; further arguments are libFuzzer's. Cases are mutated from those of ``seeds.py``, of
``tests/fuzz/corpus/TARGET`` and of FOLDER, which also keeps new ones. It stops at the first exception that is no
ValueError and writes the case to a file ``crash-...``: under a name that says what it is, that file belongs into
``tests/fuzz/corpus/TARGET``, which ``tests/fuzz/test_fuzz.py`` replays.

All readers, a million cases in all::

    nice -n 10 python tests/fuzz/run_atheris.py all -runs=80000 -max_len=4096
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[1] / "space")]

# Instrumenting takes longer than the rest of the start: only what reads is worth it.
_READERS = {
    "codes",
    *("config.groupdnet", "config.validation", "config.serialization", "config.decoder_layout"),
    *("data.listing", "data.paired", "data.label_maps", "data.labels"),
    *("io.images", "io.strict_json", "io.tensors"),
    *("baselines.config", "baselines.registry", "baselines.unet"),
    *("prepare.ccp", "prepare.matlab", "prepare.run", "prepare.work.journal", "prepare.labels"),
}
_PACKAGE = HERE.parents[1] / "groupdnet_hub"
_MODULES = {".".join(path.relative_to(_PACKAGE).with_suffix("").parts) for path in _PACKAGE.rglob("*.py")}
if missing := _READERS - _MODULES:
    raise RuntimeError(f"there are no modules {sorted(missing)} of groupdnet_hub: correct _READERS")
with atheris.instrument_imports(
    include=["tests.fuzz.targets", "page.ui.painter", "groupdnet_hub", "PIL"],
    exclude=[f"groupdnet_hub.{name}" for name in _MODULES - _READERS],
):
    from PIL import GifImagePlugin, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin  # noqa: F401

    from tests.fuzz.seeds import seeds
    from tests.fuzz.targets import TARGETS, run_one


def main() -> None:
    """Fuzz the targets that the first argument names, each in a process of its own."""
    names = list(TARGETS) if sys.argv[1:2] == ["all"] else (sys.argv[1:2] or [""])[0].split(",")
    if not set(names) <= set(TARGETS):
        sys.exit(f"name some of {', '.join(TARGETS)}, or all")
    for name in names:
        process = os.fork()  # the modules are instrumented once
        if process == 0:
            fuzz(name, [sys.argv[0], *sys.argv[2:]])
        if os.waitpid(process, 0)[1] != 0:
            sys.exit(f"{name} has a fault")
        print(f"{name} is done", flush=True)


def fuzz(name: str, arguments: list[str]) -> None:
    """Fuzz one target until libFuzzer ends the process."""
    warnings.simplefilter("ignore")  # of Pillow, about what it can read all the same
    scratch = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    for file_name, content in seeds()[name].items():
        (scratch / file_name).write_bytes(content)
    # libFuzzer keeps new cases in the first folder that it is given.
    kept = HERE / "corpus" / name
    folders = [str(scratch), *([str(kept)] if kept.is_dir() else [])]
    atheris.Setup([*arguments, *folders], lambda data: run_one(name, data) and None)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
