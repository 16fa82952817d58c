"""pyproject.toml names what the code imports, and other files say the same as it does."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import groupdnet_hub
from groupdnet_hub.__main__ import COMMANDS
from tests.helpers.shared_data import ROOT

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 cannot read TOML")

# Modules whose distribution has another name, and what is used only where it happens to be.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "pillow_heif": "pillow-heif",
    "torch_fidelity": "torch-fidelity",
    "yaml": "pyyaml",
}
OPTIONAL = {
    "msvcrt",  # Python's, on Windows
    "spaces",  # a ZeroGPU Space has it
}


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def requirements(*extras: str) -> list[str]:
    """What ``pip install groupdnet-hub[extras]`` asks for, each once."""
    found = list(project()["dependencies"])
    for extra in extras:
        for line in project()["optional-dependencies"][extra]:
            inner = re.fullmatch(r"groupdnet-hub\[(.+)\]", line)
            found += requirements(*inner[1].split(",")) if inner else [line]
    return list(dict.fromkeys(found))


def distributions(*extras: str) -> set[str]:
    return {re.split(r"[<>=]", line)[0].lower() for line in requirements(*extras)}


def imports(path: Path, *, at_once: bool) -> Iterator[str]:
    """Modules that a file imports: when it is imported itself, or at any time."""
    for node in _nodes(ast.parse(path.read_text(encoding="utf-8")), into_functions=not at_once):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _nodes(tree: ast.AST, *, into_functions: bool) -> Iterator[ast.AST]:
    """All of a tree but what only type checkers read, and perhaps but what its functions do."""
    for node in ast.iter_child_nodes(tree):
        for_checkers = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if not for_checkers and (into_functions or not isinstance(node, ast.FunctionDef)):
            yield node
            yield from _nodes(node, into_functions=into_functions)


def third_party(modules: Iterable[str]) -> set[str]:
    """Return the distributions of modules that are neither ours nor Python's."""
    names = {module.split(".")[0] for module in modules}
    names -= {*sys.stdlib_module_names, "groupdnet_hub", "train", "page", *OPTIONAL}
    return {DISTRIBUTIONS.get(name, name) for name in names}


def all_imports(script: Path) -> set[str]:
    """Return the distributions that a script and what it imports of ours import at once."""
    seen, open_files, found = set[Path](), [script], set[str]()
    while open_files:
        path = open_files.pop()
        if path in seen:
            continue
        seen.add(path)
        modules = list(imports(path, at_once=True))
        found |= third_party(modules)
        for module in modules:
            place = ROOT / ("space" if module.startswith("page") else ".") / module.replace(".", "/")
            if module.split(".")[0] in ("groupdnet_hub", "page"):
                open_files += [
                    file for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()
                ]
    return found


def test_a_space_asks_for_what_the_extra_asks_for() -> None:
    lines = (ROOT / "space" / "requirements.txt").read_text(encoding="utf-8").split()
    assert sorted(lines) == sorted(requirements("space"))


@pytest.mark.parametrize("folder", ["groupdnet_hub", "train", "space"])
def test_everything_that_is_imported_is_asked_for(folder: str) -> None:
    known = distributions("space", "parser", "train", "hub-data", "metrics", "export", "faces")
    for path in (ROOT / folder).rglob("*.py"):
        assert third_party(imports(path, at_once=False)) <= known, path


def test_the_package_alone_needs_no_extra() -> None:
    for name in ("__init__", "__main__", "smis", "figures"):
        assert all_imports(ROOT / "groupdnet_hub" / f"{name}.py") <= distributions()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_extras_of_a_command_have_what_it_imports(name: str) -> None:
    command = COMMANDS[name]
    assert all_imports(ROOT.joinpath(*command.script)) <= distributions(*command.extras.split(","))


def test_the_version_is_the_same_everywhere() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    version = project()["version"]
    assert groupdnet_hub.__version__ == version
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE)[1] == version  # type: ignore[index]
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_authors_addresses_and_licence_are_given() -> None:
    found = project()
    assert found["authors"][0]["name"] in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert {"Homepage", "Repository", "Issues"} <= set(found["urls"])
    assert all((ROOT / name).is_file() for name in found["license-files"])
    assert any(line.startswith("Programming Language :: Python") for line in found["classifiers"])
