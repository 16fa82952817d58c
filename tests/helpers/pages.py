"""The repository's pages, and what stands in them: links, headings, code blocks."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "space").rglob("README.md")),
]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    """Return a page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """Return the text without its code blocks."""
    return _FENCE.sub("", read(page))


def links(page: Path) -> list[str]:
    """Return the targets of all links and pictures."""
    return _LINK.findall(prose(page))


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of one language."""
    return [text for found, text in _FENCE.findall(read(page)) if found == language]


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()) for heading in headings)
    return {word.strip().replace(" ", "-") for word in words}
