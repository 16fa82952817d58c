"""The documentation builds as a site, with warnings as errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.pages import ROOT


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    for module in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(module, reason="needs groupdnet-hub[docs]")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        str(tmp_path / "site"),
    ]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    pages = (tmp_path / "site").rglob("*.html")
    text = " ".join(page.read_text(encoding="utf-8") for page in pages)
    for found in ("GroupDNetPipeline.reroll", "Redraw, mix, morph and edit", "GROUPDNET_MODEL"):
        assert found in text
