"""Where a result comes from."""

from __future__ import annotations

import pytest

import groupdnet_hub
from groupdnet_hub.runs import provenance


def test_an_installed_package_names_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not the commit of another project, in whose folder its environment lies."""
    monkeypatch.setattr(provenance, "is_clone", lambda: False)
    assert provenance.commit() == f"version {groupdnet_hub.__version__}"
