"""README and docs/: short enough, no dead link, no name of a file or a flag that is not there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import groupdnet_hub
from tests.helpers.pages import PAGES, ROOT, anchors, blocks, links, name_of, prose, read

SETTINGS = ("pyproject.toml", "mkdocs.yml", "CITATION.cff", ".pre-commit-config.yaml")
WITH_SUBCOMMANDS = ("train/prepare.py", "train/tools/state_parts.py")
END = "-- end of help --"
# Prints what ``--help`` of each command of a list says.
PRINT_HELP = f"""
import json, os, runpy, sys
for command in json.loads(sys.argv[1]):
    sys.argv = [*command, "--help"]
    sys.path[0] = os.path.dirname(command[0])
    try:
        runpy.run_path(command[0], run_name="__main__")
    except SystemExit as ended:
        assert not ended.code, command
    print({END!r})
"""
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
                        subcommand = rest[:1] if word in WITH_SUBCOMMANDS else []
                        flags = sorted(flag for flag in rest if re.match(r"--\w", flag))
                        calls.add((word, *subcommand, *flags))
    return sorted(calls)


def command_of(call: tuple[str, ...]) -> tuple[str, ...]:
    """Return the script and its subcommand."""
    return tuple(word for word in call if not word.startswith("--"))


@pytest.fixture(scope="module")
def flags_of() -> dict[tuple[str, ...], set[str]]:
    """The flags that ``--help`` of each script, and of each subcommand, lists; one process imports torch for all."""
    commands = sorted(
        {command_of(call) for call in script_calls()} | {("train/train.py",), ("train/evaluate.py",)}
    )
    answer = subprocess.run(
        [sys.executable, "-c", PRINT_HELP, json.dumps(commands)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    texts = answer.stdout.split(END)
    return {
        command: set(re.findall(r"--[\w-]+", text))
        for command, text in zip(commands, texts[:-1], strict=True)
    }


@pytest.mark.slow
def test_commands_use_flags_that_exist(flags_of: dict[tuple[str, ...], set[str]]) -> None:
    """Compare the flags of all code blocks with what the scripts' ``--help`` lists."""
    unknown = []
    for call in script_calls():
        command = command_of(call)
        known = flags_of[command]
        if command == ("train/compare_models.py",):  # it hands further flags on
            known = known | flags_of[("train/evaluate.py",)]
        unknown += [(*command, flag) for flag in call if flag.startswith("--") and flag not in known]
    assert unknown == []


@pytest.mark.slow
def test_the_training_page_explains_every_flag(flags_of: dict[tuple[str, ...], set[str]]) -> None:
    """A flag that switches something on by default may be named in its ``--no-`` form only."""
    named = set(re.findall(r"--[\w-]+", read(ROOT / "docs" / "training.md")))
    flags = {flag for flag in flags_of[("train/train.py",)] if not flag.startswith("--no-")} - {"--help"}
    assert sorted(flag for flag in flags if not {flag, f"--no-{flag[2:]}"} & named) == []


def test_the_api_pages_have_every_public_name() -> None:
    pages = [read(page) for page in PAGES if page.parent.name == "api"]
    documented = {
        name for text in pages for name in re.findall(r"^::: groupdnet_hub\.(\w+)$", text, re.MULTILINE)
    }
    assert set(groupdnet_hub.__all__) - {"__version__"} == documented - {"metrics"}
