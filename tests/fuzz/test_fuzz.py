"""The readers under mutated files: the short version of ``tests/fuzz/run_atheris.py``, and what that has found."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.seeds import bombs, seeds
from tests.fuzz.targets import TARGETS, run_one
from tests.helpers.hostile_files import refusal

CORPUS = Path(__file__).resolve().parent / "corpus"
SEEDS, BOMBS = seeds(), bombs()
# What is there to be mutated into something valid, or is refused because its second file is missing.
_REFUSED = {"text", "metadata.jsonl", "done.jsonl", "settings.json"}

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(("target", "name"), [(t, n) for t, files in SEEDS.items() for n in files])
def test_what_is_mutated_is_valid(target: str, name: str) -> None:
    assert run_one(target, SEEDS[target][name]) or name in _REFUSED


@pytest.mark.parametrize(("target", "name"), [(t, n) for t, files in BOMBS.items() for n in files])
def test_bombs_are_refused(target: str, name: str) -> None:
    with refusal("."):
        TARGETS[target](BOMBS[target][name])


@pytest.mark.parametrize(
    "path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}"
)
def test_cases_that_were_found(path: Path) -> None:
    run_one(path.parent.name, path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_mutated_files(target: str) -> None:
    """Bytes changed, cut out, doubled and moved, as the coverage-guided fuzzer does it without its guidance."""
    draw = random.Random(target)
    files = list(SEEDS[target].values())
    for _ in range(150):
        data = bytearray(draw.choice(files))
        for _ in range(draw.choice((1, 1, 2, 4, 16))):
            start = draw.randrange(len(data) + 1)
            end = min(len(data), start + draw.choice((0, 1, 1, 2, 4, 8, 64)))
            other = draw.choice(files)
            piece = draw.randrange(len(other))
            data[start:end] = draw.choice(
                (
                    b"",
                    draw.randbytes(end - start),
                    bytes(data[start:end]) * 2,
                    other[piece : piece + 8],
                    b"\xff" * 4,
                )
            )
        run_one(target, bytes(data))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(target=st.sampled_from(("config", "classes", "listing", "journal")), data=st.data())
def test_any_json_in_any_place(target: str, data: st.DataObject) -> None:
    seed = SEEDS[target][data.draw(st.sampled_from(sorted(SEEDS[target])))]
    value = json.loads(seed.splitlines()[0] if target in ("listing", "journal") else seed)
    value[data.draw(st.sampled_from(sorted(value)))] = data.draw(_JSON)
    run_one(target, json.dumps(value).encode() + b"\n")


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(target=st.sampled_from(sorted(TARGETS)), content=st.binary(max_size=200))
def test_any_bytes(target: str, content: bytes) -> None:
    run_one(target, content)
