"""Where the real data and recordings are, if they are here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# The checkout.
ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("GROUPDNET_SHARED", ROOT.parent / "shared"))


def shared_folder(name: str) -> Path:
    """The folder ``name`` of the shared data, or a skip that says why."""
    folder = SHARED / name
    if not folder.exists():
        pytest.skip(f"needs the shared folder {name}/ beside the checkout, which is not here")
    return folder
