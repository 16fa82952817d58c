"""Settings as dataclasses: what the command line, a file and the code can give, and what is refused."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from groupdnet_hub.runs.flags import parse_command, parse_settings
from groupdnet_hub.runs.settings import (
    Settings,
    at_least,
    existing_file,
    in_range,
    option,
    seed_option,
    size_option,
    without_flag,
)


@dataclass(frozen=True, kw_only=True)
class PaperSettings(Settings):
    """Paper."""

    size: tuple[int, int] = size_option((64, 64), "of the sheet", least=16)
    margin: float = option(0.1, "share that stays free: 10 % by default", check=in_range(0, 1))
    colour: Literal["white", "no"] = option("white", "of the sheet")


@dataclass(frozen=True, kw_only=True)
class SheetConfig(PaperSettings):
    """Contact sheets."""

    title: str = option(help="on top")
    rows: int = option(4, "pictures below each other", check=at_least(1))
    names: tuple[str, ...] | None = option(None, "of the rows")
    window: tuple[int, float] = option((1, 0.5), "two numbers", type=float)
    font: Path | None = option(None, "a file", check=existing_file)
    framed: bool = option(False, "with frames")
    dark: bool | None = option(None, "by default as the pictures are")
    seed: int = seed_option("fixes the order")
    note: str = without_flag("none")

    def check(self) -> None:
        """Refuse names of rows that there are not."""
        super().check()
        if self.names is not None and len(self.names) > self.rows:
            raise ValueError("--names names more than --rows")


@dataclass(frozen=True, kw_only=True)
class MoreConfig(SheetConfig):
    """Sheets, and flags for what they show."""

    others: tuple[str, ...] = without_flag(())


def parse(*flags: str, file: bool = False) -> SheetConfig:
    return parse_settings(
        SheetConfig, flags, prog="sheets.py", description="Draw contact sheets.", args_file=file
    )


def refusal(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    """What a command line ends with."""
    with pytest.raises(SystemExit) as ended:
        parse(*flags, file=True)
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_flags_become_fields() -> None:
    assert parse("--title", "t") == SheetConfig(title="t")
    flags = ["--rows", "2", "--names", "a", "b", "--framed", "--no-dark", "--size", "32", "--margin", "1"]
    found = parse("--title", "t", *flags, "--font", __file__)
    assert found == SheetConfig(
        title="t",
        rows=2,
        names=("a", "b"),
        framed=True,
        dark=False,
        size=(32, 32),
        margin=1.0,
        font=Path(__file__),
    )
    assert parse("--title", "t", "--size", "32", "48").size == (32, 48)
    assert parse("--tit", "t").title == "t", "flags can be shortened"
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.rows = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "the following arguments are required: --title"),
        (["--title", "t", "--rows", "0"], "--rows is 0; it must be at least 1"),
        (["--title", "t", "--rows", "two"], "--rows: invalid int value: 'two'"),
        (["--title", "t", "--margin", "nan"], "--margin is nan; it must be a finite number"),
        (
            ["--title", "t", "--size", "8"],
            "--size takes one side, or height and width, of 16 pixels or more, not 8",
        ),
        (
            ["--title", "t", "--size", "32", "16", "32"],
            "of 16 pixels or more, not 32 16 32",
        ),
        (["--title", "t", "--colour", "blue"], "--colour: invalid choice: 'blue'"),
        (["--title", "t", "--font", "absent.ttf"], "--font: there is no file absent.ttf"),
        (["--title", "t", "--seed", "-1"], "--seed is -1; it must be a whole number from 0"),
        (["--title", "t", "--rows", "1", "--names", "a", "b"], "--names names more than --rows"),
        (["--title", "t", "--note", "n"], "unrecognized arguments: --note n"),
    ],
)
def test_wrong_flags_end_with_a_message(
    capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert message in refusal(capsys, *flags)


def test_settings_are_checked_however_they_are_made() -> None:
    with pytest.raises(ValueError, match="--rows is 0; it must be at least 1"):
        SheetConfig(title="t", rows=0)
    with pytest.raises(ValueError, match="--names names more than --rows"):
        dataclasses.replace(SheetConfig(title="t", names=("a", "b")), rows=1)


def test_a_file_holds_flags_and_the_command_line_wins(tmp_path: Path) -> None:
    file = tmp_path / "flags.yaml"
    file.write_text(
        "title: t\nmargin: 1e-1\nsize: [32, 48]\nnames: a\nframed: yes\ncolour: no\nfont: null\nrows: 2\n"
    )
    given = parse("--args_file", str(file), file=True)
    assert given == SheetConfig(title="t", size=(32, 48), names=("a",), framed=True, colour="no", rows=2)
    given = parse("--no-framed", "--args_file", str(file), "--size", "64", "--names", "b", "c", file=True)
    assert given == SheetConfig(title="t", names=("b", "c"), colour="no", rows=2)
    (tmp_path / "flags.json").write_text('{"title": "-t-", "dark": false, "names": []}')
    assert parse("--args_file", str(tmp_path / "flags.json"), file=True) == SheetConfig(
        title="-t-", dark=False
    )


@pytest.mark.parametrize("name", ["flags.json", "flags.yaml"])
def test_a_file_of_flags_is_utf_8_and_names_each_flag_once(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / name
    file.write_text('{"title": "caf\u00e9"}', encoding="utf-8-sig")
    assert parse("--args_file", str(file), file=True).title == "caf\u00e9"
    for content, message in (
        ('{"title": "caf\u00e9"}'.encode("utf-16"), f"{file} is UTF-16 text: save it as UTF-8"),
        ('{"title": "caf\u00e9"}'.encode("latin-1"), f"{file} is not UTF-8 text"),
        (b'{"title": "a", "title": "b"}', "more than once"),
    ):
        file.write_bytes(content)
        with pytest.raises(SystemExit):
            parse("--args_file", str(file), file=True)
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (None, "there is no file"),
        ("title: [", "cannot be read"),
        ("- title", "must hold one object of flags"),
        ("titel: t\nrow: 1", "holds flags that do not exist: row, titel"),
        ("note: n", "holds flags that do not exist: note"),
        ("title: t\nrows: many", "--rows: invalid int value: 'many'"),
        ("title: t\nrows: 1.5", "--rows: invalid int value: '1.5'"),
        ("title: t\ncolour: blue", "--colour: invalid choice: 'blue'"),
        ("title: t\nframed: 3", "has framed: 3; it must be true or false"),
        ("title: t\nmargin: 2", "--margin is 2.0; it must lie from 0 to 1"),
        ("title: {a: b}", "has title: {'a': 'b'}; a flag has one value or a list"),
    ],
)
def test_a_file_is_checked_as_flags_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, written: str | None, message: str
) -> None:
    file = tmp_path / "flags.yaml"
    if written is not None:
        file.write_text(written)
    assert message in refusal(capsys, "--args_file", str(file))


def test_help_has_groups_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--help", file=True)
    text = " ".join(capsys.readouterr().out.split())
    assert "Paper: --size SIZE [SIZE ...] of the sheet (default: 64)" in text
    assert "share that stays free: 10 % by default (default: 0.1)" in text
    assert "Contact sheets: --title TITLE on top --rows ROWS pictures below each other (default: 4)" in text
    assert "--names NAMES [NAMES ...] of the rows --window" in text, "None is no default to tell of"
    assert "--framed, --no-framed with frames (default: False)" in text
    assert "note" not in text


def test_flags_of_another_command_are_left_over() -> None:
    flags = ["--title", "t", "--metrics", "fid", "--row", "3"]
    found = parse_settings(MoreConfig, flags, prog="sheets.py", description="", others="others")
    assert found == MoreConfig(title="t", others=("--metrics", "fid", "--row", "3")), (
        "and are not shortened ones"
    )


def test_a_subcommand_chooses_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    commands: dict[str, type[PaperSettings]] = {"paper": PaperSettings, "sheet": SheetConfig}
    where = {"prog": "sheets.py", "description": "Sheets.", "metavar": "WHAT"}
    assert parse_command(commands, ["paper", "--size", "32"], **where) == PaperSettings(size=(32, 32))
    assert parse_command(commands, ["sheet", "--title", "t"], **where) == SheetConfig(title="t")
    with pytest.raises(SystemExit):
        parse_command(commands, ["--help"], **where)
    assert "sheet Contact sheets" in " ".join(capsys.readouterr().out.split())
