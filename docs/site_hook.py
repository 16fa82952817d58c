"""What MkDocs needs to show the repository's own files: README.md as first page, and whatever pages link to.

Pages link to each other as they do in the repository, where ``../space/README.md`` stands beside ``docs/``. On the site
``docs/`` is the root: every linked file outside it gets a place there, under its path in the repository, and links are
rewritten to match. A link to a file that does not exist is left for MkDocs to report.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS = "docs/"
HOME = "README.md"
# [text](target "title") and ![text](target); group 2 is the target without its anchor.
LINK = re.compile(r"(\]\()([^)\s#:]+)(?=[)\s#])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add README.md and, from page to page, all files outside ``docs/`` that are linked to."""
    waiting = [HOME, *(DOCS + file.src_uri for file in files.documentation_pages())]
    seen = set(waiting)
    while waiting:
        path = waiting.pop()
        if files.get_file_from_path(site_path(path)) is None:
            files.append(File.generated(config, site_path(path), abs_src_path=str(ROOT / path)))
        if path.endswith(".md"):
            text = (ROOT / path).read_text(encoding="utf-8")
            linked = {linked_path(path, target) for _, target in LINK.findall(text)}
            new = sorted(one for one in linked - seen if (ROOT / one).is_file())
            seen.update(new)
            waiting += new
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links between files of the repository to their places on the site."""
    here = repository_path(page.file.src_uri)
    start = posixpath.dirname(page.file.src_uri)

    def moved(match: re.Match[str]) -> str:
        path = linked_path(here, match[2])
        if not (ROOT / path).is_file():
            return match[0]
        return match[1] + posixpath.relpath(site_path(path), start or ".")

    return LINK.sub(moved, markdown)


def linked_path(page: str, target: str) -> str:
    """Return the path in the repository of what the page at ``page``, a path in it as well, links to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), target))


def site_path(path: str) -> str:
    """Return a file's place on the site; both are relative, with forward slashes."""
    return "index.md" if path == HOME else path.removeprefix(DOCS)


def repository_path(place: str) -> str:
    """Return what :func:`site_path` gives ``place``."""
    if place == "index.md":
        return HOME
    return DOCS + place if (ROOT / DOCS / place).is_file() else place
