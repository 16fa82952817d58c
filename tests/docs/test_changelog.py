"""The changelog's list of moved modules and names leads to what exists; versions agree; the citation file is valid."""

from __future__ import annotations

import importlib
import importlib.util
import re

import pytest

from groupdnet_hub import __version__
from tests.helpers.pages import ROOT, read

_ROW = re.compile(r"^\| (.+) \| `(groupdnet_hub[\w.]*)` \|$", re.MULTILINE)


def moved() -> list[tuple[str, str]]:
    """Return (what moved, its module now) for each row of the changelog's tables."""
    return _ROW.findall(read(ROOT / "CHANGELOG.md"))


def test_what_moved_is_where_the_changelog_says() -> None:
    missing = []
    for before, now in moved():
        if importlib.util.find_spec(now) is None:
            missing.append(now)
        elif not before.startswith("`groupdnet_hub."):
            module = importlib.import_module(now)
            # `old`, or `old` (now `new`)
            names = [new or old for old, new in re.findall(r"`(\w+)`(?: \(now `(\w+)`\))?", before)]
            missing += [f"{now}.{name}" for name in names if not hasattr(module, name)]
    assert len(moved()) > 50
    assert missing == []


def test_the_changelog_has_this_version() -> None:
    assert f"## [{__version__}]" in read(ROOT / "CHANGELOG.md")


def test_the_citation_file_is_valid() -> None:
    """What the Citation File Format 1.2.0 requires, and this version."""
    yaml = pytest.importorskip("yaml", reason="needs PyYAML")
    citation = yaml.safe_load(read(ROOT / "CITATION.cff"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert (citation["cff-version"], citation["version"]) == ("1.2.0", __version__)
    for work in (citation, *citation["references"]):
        assert work["title"]
        assert all(set(author) <= {"name", "family-names", "given-names"} for author in work["authors"])
    assert [author["family-names"] for author in citation["references"][0]["authors"]] == [
        "Zhu",
        "Xu",
        "You",
        "Bai",
    ]
