"""Where a result comes from."""

from __future__ import annotations

import pytest

import groupdnet_hub
from groupdnet_hub.runs import provenance


def test_an_installed_package_names_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not the commit of another project, in whose folder its environment lies."""
    monkeypatch.setattr(provenance, "is_clone", lambda: False)
    assert provenance.commit() == f"version {groupdnet_hub.__version__}"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["train.py", "--hub_token", "abc", "--seed", "1"], ["train.py", "--hub_token", "***", "--seed", "1"]),
        (["train.py", "--hub_token=abc"], ["train.py", "--hub_token=***"]),
        (["train.py", "--hub_tok", "abc"], ["train.py", "--hub_tok", "***"]),
        (["train.py", "--hub_t=a=b", "x"], ["train.py", "--hub_t=***", "x"]),
        (["--out", "hf_0123456789abcdef"], ["--out", "***"]),
        (["--dataset_name", "https://user:hf_0123456789abcdef@host"], ["--dataset_name", "https://user:***@host"]),
        (["--hub_model_id", "user/hf_model", "--"], ["--hub_model_id", "user/hf_model", "--"]),
    ],
)  # fmt: skip
def test_a_command_line_is_shown_without_tokens(words: list[str], shown: list[str]) -> None:
    assert provenance.without_secrets(words, ["hub_token"]) == shown


def test_versions_are_those_that_compute() -> None:
    import torch

    found = provenance.versions()
    assert found["torch"] == torch.__version__.split("+")[0] or found["torch"] == torch.__version__
    assert found["groupdnet_hub"] == groupdnet_hub.__version__
    assert {"python", "numpy", "pillow"} <= set(found)
