"""What the page's core may take of gradio, and that the page starts where a Hugging Face Space has it."""

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


def test_what_the_page_does_takes_only_gradios_errors() -> None:
    """Sentences for visitors cross from the thread of the model; all else of gradio is how the page looks."""
    assert len(CORE) > 10
    for path in CORE:
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
        gradio = [node for node in imports if "gradio" in ast.unparse(node)]
        assert [ast.unparse(node) for node in gradio] in ([], ["import gradio as gr"]), path.name
        assert bool(gradio) == (path.name == "refusal.py"), path.name
        used = {
            node.attr for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "gr"
        }
        assert used <= {"Error", "Info"}, path.name


@pytest.mark.slow
def test_the_page_can_be_built_where_a_space_has_it(tmp_path: Path) -> None:
    """The contents of this folder, with the package beside ``app.py``, started from there."""
    pytest.importorskip("gradio", reason="the page needs gradio")
    unneeded = ("__pycache__", "*.sqlite3")
    shutil.copytree(SPACE, tmp_path, ignore=shutil.ignore_patterns(*unneeded, "models"), dirs_exist_ok=True)
    shutil.copytree(
        ROOT / "groupdnet_hub", tmp_path / "groupdnet_hub", ignore=shutil.ignore_patterns(*unneeded)
    )
    script = (
        "import app, sys; studio = app.open_studio(); app.build_page(studio, more=app.open_more_studios()); "
        "own = [m.__file__ for name, m in sys.modules.items() if name.split('.')[0] in ('page', 'groupdnet_hub')]; "
        "print(len(own) > 50, {file for file in own if not file.startswith(sys.argv[1])}, studio.source)"
    )
    variables = ("PYTHONPATH", "GROUPDNET_MODEL", "GROUPDNET_EXAMPLES", "GROUPDNET_PARSER")
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=tmp_path,
        env={**{k: v for k, v in os.environ.items() if k not in variables}, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.split() == ["True", "set()", str(tmp_path / "model")], done.stderr[-2000:]
