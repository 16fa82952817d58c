"""What the page's folders may import, and that the page starts where a Hugging Face Space has it."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.shared_data import ROOT

SPACE = ROOT / "space"
CORE = sorted((SPACE / "page" / "core").glob("*.py"))


def imported(path: Path) -> set[str]:
    """Return the names of all modules that a module of the page imports, ``page.ui.views`` and the like."""
    package = path.relative_to(SPACE).parent.parts
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*above, *([node.module] if node.module else [])))
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


def test_what_the_page_does_knows_nothing_of_how_it_looks() -> None:
    """gradio's errors are all that it takes of it: a refusal crosses from the model's thread to the visitor."""
    assert len(CORE) > 10
    for path in CORE:
        names = imported(path)
        assert not [name for name in names if name.startswith(("page.ui", "page.human_eval"))], path.name
        used = {
            node.attr
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "gr"
        }
        assert used <= {"Error"}, path.name
        assert ("gradio" in names) == (path.name == "lazy_model.py"), path.name


def test_the_page_can_be_built_where_a_space_has_it(tmp_path: Path) -> None:
    """The contents of this folder, with the package beside ``app.py``, started from there."""
    pytest.importorskip("gradio", reason="the page needs gradio")
    unneeded = shutil.ignore_patterns("__pycache__", "models", "*.sqlite3")
    shutil.copytree(SPACE, tmp_path, ignore=unneeded, dirs_exist_ok=True)
    shutil.copytree(ROOT / "groupdnet_hub", tmp_path / "groupdnet_hub", ignore=unneeded)
    script = (
        "import app, groupdnet_hub; studio = app.open_studio(); app.build_page(studio, more=app.open_more_studios()); "
        "print(groupdnet_hub.__file__, studio.source)"
    )
    variables = ("PYTHONPATH", "GROUPDNET_MODEL", "GROUPDNET_EXAMPLES", "GROUPDNET_PARSER")
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**{k: v for k, v in os.environ.items() if k not in variables}, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.split() == [
        *(str(tmp_path / "groupdnet_hub" / "__init__.py"), str(tmp_path / "model")),
    ], done.stderr[-2000:]
