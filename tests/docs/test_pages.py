"""README and docs/: short enough, no dead link, no name of a file or a flag that is not there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest

from tests.helpers.pages import PAGES, ROOT, anchors, blocks, links, name_of, prose, read

SETTINGS = ("pyproject.toml", "mkdocs.yml", "CITATION.cff", ".pre-commit-config.yaml")
# Paths of files that prose names.
_NAMED = re.compile(r"(?<![\w/.-])(?:groupdnet_hub|train|space|tests|docs)/[\w./*-]*\w")


def every_page(test: object) -> object:
    return pytest.mark.parametrize("page", PAGES, ids=name_of)(test)  # type: ignore[arg-type]


def test_readme_is_short() -> None:
    assert len(read(ROOT / "README.md").splitlines()) <= 150


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    """To a file of the repository, and to a heading of it where the link names one."""
    dead = []
    for link in links(page):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        file = page.parent / target if target else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(link)
    assert dead == []


@every_page
def test_files_that_are_named_exist(page: Path) -> None:
    named = {name for code in re.findall(r"`([^`]+)`", prose(page)) for name in _NAMED.findall(code)}
    assert sorted(name for name in named if not any(ROOT.glob(name))) == []


@every_page
def test_no_address_of_a_machine_is_named(page: Path) -> None:
    assert not re.search(r"/(work|home|root|tmp)/\w", read(page))


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_name_no_machine(name: str) -> None:
    assert not re.search(r"/(work|home|root|tmp)/\w|index-url", read(ROOT / name))


@lru_cache
def flags_of(*command: str) -> set[str]:
    """Return the flags that a script's ``--help`` lists."""
    answer = subprocess.run(
        [sys.executable, *command, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return set(re.findall(r"--[\w-]+", answer.stdout))


def script_calls() -> list[tuple[str, ...]]:
    """Return the calls of this repository's scripts in all pages: (script, perhaps its subcommand, flags ...)."""
    calls = set()
    for page in PAGES:
        for block in blocks(page, "bash"):
            for line in re.sub(r"\\\n", " ", block).splitlines():
                words = shlex.split(line, comments=True)
                for place, word in enumerate(words):
                    if re.fullmatch(r"(train|docs|tests/benchmarks|space/examples)/[\w/]+\.py", word):
                        rest = words[place + 1 :]
                        subcommand = rest[:1] if word.endswith("/prepare.py") else []
                        flags = sorted(flag for flag in rest if re.match(r"--\w", flag))
                        calls.add((word, *subcommand, *flags))
    return sorted(calls)


def scripts() -> list[str]:
    return sorted({call[0] for call in script_calls()})


@pytest.mark.slow
@pytest.mark.parametrize("script", scripts())
def test_commands_use_flags_that_exist(script: str) -> None:
    """Compare the flags of all code blocks with what the scripts' ``--help`` lists."""
    assert (ROOT / script).is_file()
    unknown = []
    for call in script_calls():
        if call[0] == script:
            command = [word for word in call if not word.startswith("--")]
            known = flags_of(*command)
            if script.endswith("compare_models.py"):  # it hands further flags on
                known |= flags_of("train/evaluate.py")
            unknown += [(*command, flag) for flag in call if flag.startswith("--") and flag not in known]
    assert unknown == []


@pytest.mark.slow
def test_the_training_page_explains_every_flag() -> None:
    """A flag that switches something on by default may be named in its ``--no-`` form only."""
    named = set(re.findall(r"--[\w-]+", read(ROOT / "docs" / "training.md")))
    flags = {flag for flag in flags_of("train/train.py") if not flag.startswith("--no-")} - {"--help"}
    assert sorted(flag for flag in flags if not {flag, f"--no-{flag[2:]}"} & named) == []
