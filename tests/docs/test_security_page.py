"""SECURITY.md: every promise names a test, and the tests that it names are there."""

from __future__ import annotations

import re

import pytest

from tests.helpers.shared_data import ROOT

PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
PROMISES = PAGE.split("## What is promised", 1)[1].split("\n## ", 1)[0]


@pytest.mark.parametrize("promise", re.split(r"\n### ", PROMISES)[1:], ids=lambda text: text.splitlines()[0])
def test_a_promise_names_its_tests(promise: str) -> None:
    assert re.search(r"`tests/[\w/.]+`", promise)


def test_rows_of_promises_name_their_tests() -> None:
    table = [line for line in PROMISES.splitlines() if line.startswith("| ")]
    assert len(table) > 5
    assert all("`tests/" in line for line in table[1:])


def test_the_named_tests_exist() -> None:
    for path in re.findall(r"`(tests/[\w/.]+)`", PAGE):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"`(test_\w+)`", PAGE):
        assert any(f"def {name}(" in path.read_text("utf-8") for path in ROOT.glob("tests/**/*.py")), name
