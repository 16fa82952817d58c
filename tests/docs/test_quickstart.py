"""The quickstart notebook runs from top to bottom, as a reader runs it, and the Python lines of the pages run too."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.helpers.pages import ROOT, blocks

NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"
STEPS = ("Sample", "Reroll", "Lists", "Mix", "Morph", "Edit", "Save")


@pytest.fixture
def notebook() -> Any:
    nbformat = pytest.importorskip("nbformat", reason="needs groupdnet-hub[docs]")
    return nbformat.read(NOTEBOOK, as_version=4)


def test_the_notebook_is_saved_without_outputs(notebook: Any) -> None:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == [None] * len(cells)
    assert not any(cell.outputs for cell in cells)


def test_the_notebook_runs_and_draws_a_picture_for_each_step(notebook: Any) -> None:
    nbclient = pytest.importorskip("nbclient", reason="needs groupdnet-hub[docs]")
    pytest.importorskip("ipykernel", reason="needs groupdnet-hub[docs]")
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    ran = nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    step, drawn = "", {}
    for cell in ran.cells:
        if cell.cell_type == "markdown":
            step = next((name for name in STEPS if f"## {name}\n" in cell.source), step)
            continue
        for output in cell.outputs:
            data = output.get("data", {}).get("image/png")
            if data is not None:
                picture = Image.open(io.BytesIO(base64.b64decode(data)))
                # With a line of text above, or as a list of looks shows itself.
                height = 256 if step == "Lists" else 256 + 16
                drawn[step] = picture.height == height and picture.width > 2 * 128
    assert drawn == dict.fromkeys(STEPS, True)


@pytest.mark.parametrize("name", ["README.md", pytest.param("docs/python.md", marks=pytest.mark.slow)])
def test_the_python_lines_of_a_page_run(name: str, tmp_path: Path) -> None:
    """In a folder where ``space/`` lies, as it does in a clone."""
    (tmp_path / "space").symlink_to(ROOT / "space")
    lines = blocks(ROOT / name, "python")
    assert lines
    subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=tmp_path, check=True, timeout=300)
    assert Image.open(tmp_path / "my-look" / "image.png").size == (128, 256)
