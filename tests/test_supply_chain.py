"""What the package depends on."""

from __future__ import annotations

import re

import pytest

from tests.helpers.shared_data import ROOT

# Dependencies that are held at one version, each with the fault that this avoids.
PINNED = {"mediapipe==0.10.14": "the face measure is what this release finds: another one finds other faces"}
PROJECT = ROOT / "pyproject.toml"


def requirements() -> list[str]:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 cannot read TOML")
    project = tomllib.loads(PROJECT.read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return [line for group in groups for line in group if not line.startswith("groupdnet-hub[")]


def test_every_dependency_has_a_lower_bound_and_none_an_upper_one() -> None:
    """A bound from above belongs in ``PINNED``, with the fault that it avoids."""
    assert set(PINNED) <= set(requirements())
    for line in set(requirements()) - set(PINNED):
        assert re.fullmatch(r"[a-z][a-z0-9_-]*>=[0-9.]+", line), line


def test_no_code_of_the_package_unpickles() -> None:
    """Every ``torch.load`` says ``weights_only=True``; nothing calls pickle, eval, exec or a shell."""
    for folder in ("groupdnet_hub", "train", "space"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text()
            for call in re.findall(r"torch\.load\((?:[^()]|\([^()]*\))*\)", text):
                assert "weights_only=True" in call, path
            assert not re.search(r"pickle\.loads?\(|(?<![.\w])(eval|exec)\(|os\.system\(|shell=True", text), (
                path
            )
            assert not re.search(r"allow_pickle=True|trust_remote_code=True|yaml\.load\(", text), path
            assert "register_for_checkpointing(" not in text, path  # accelerate unpickles what it is given so
