"""Coverage-guided fuzzing of a reader: ``python tests/fuzz/run_atheris.py TARGET -runs=100000 [FOLDER]``.

Needs ``pip install atheris`` (Linux, Python 3.11 to 3.13). TARGET is a name of ``targets.TARGETS``; further arguments
are libFuzzer's. Cases are mutated from those of ``seeds.py``, of ``tests/fuzz/corpus/TARGET`` and of FOLDER, which also
keeps new ones. It stops at the first exception that is no ValueError and writes the case to a file ``crash-...``: under
a name that says what it is, that file belongs into ``tests/fuzz/corpus/TARGET``, which ``tests/test_fuzz.py`` replays.

All readers, a million cases in all::

    for t in config label_map instance_map photo codes weights canvas matlab_map matlab_tags classes class_table \\
        listing journal; do nice -n 10 python tests/fuzz/run_atheris.py $t -runs=80000 -max_len=4096 || break; done
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import atheris

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "train"), str(HERE.parents[1] / "space")]

with atheris.instrument_imports(
    include=[
        "targets",
        "groupdnet_hub",
        "painter",
        "prepare_ccp",
        "prepare_run",
        "prepare_labels",
        "PIL",
        "scipy.io",
    ]
):
    from seeds import seeds
    from targets import TARGETS, run_one


def main() -> None:
    """Fuzz the target that the first argument names."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"name one of {', '.join(TARGETS)}")
    name = sys.argv.pop(1)
    warnings.simplefilter("ignore")  # of Pillow, about what it can read all the same
    scratch = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    for file_name, content in seeds()[name].items():
        (scratch / file_name).write_bytes(content)
    # libFuzzer keeps new cases in the first folder that it is given.
    kept = HERE / "corpus" / name
    arguments = [*sys.argv, str(scratch), *([str(kept)] if kept.is_dir() else [])]

    def one(data: bytes) -> None:
        run_one(name, data)

    atheris.Setup(arguments, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
