"""Files of flags that settings are written to: they give the same settings back, from any folder, without secrets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from groupdnet_hub.config.validation import Ignored
from groupdnet_hub.runs.args_file import flag_values, flags_text, yaml_text
from groupdnet_hub.runs.flags import parse_settings
from groupdnet_hub.runs.ignored import ignore_option
from groupdnet_hub.runs.settings import (
    Settings,
    existing_file,
    existing_folders,
    option,
    path_if_there,
    size_option,
)


@dataclass(frozen=True, kw_only=True)
class PlaceSettings(Settings):
    """Places."""

    font: str | None = option(None, "a file", check=existing_file)
    folders: tuple[str, ...] | None = option(None, "folders", check=existing_folders)
    model: str | None = option(None, "a folder or an id", check=path_if_there)


@dataclass(frozen=True, kw_only=True)
class SheetConfig(PlaceSettings):
    """Sheets."""

    title: str = option("t", "on top")
    names: tuple[str, ...] | None = option(None, "of rows")
    size: tuple[int, int] | None = size_option(None, "of the sheet")
    ignore_id: tuple[Ignored, ...] = ignore_option("what is unknown")
    rate: float = option(0.5, "a number")
    count: int | None = option(None, "a number")
    framed: bool = option(False, "with frames")
    dark: bool | None = option(None, "by default as the pictures are")
    hub_token: str | None = option(None, "of the Hub", secret=True)


def parse(*flags: str) -> SheetConfig:
    return parse_settings(SheetConfig, flags, prog="sheets.py", description="", args_file=True)


def written(settings: SheetConfig, path: Path) -> Path:
    path.write_text(flags_text(SheetConfig, flag_values(SheetConfig, settings)), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--title", "no", "--names", "1e5", "null", "a: b", "#x", "true", "--no-dark", "--framed"],
        ["--title=-t-", "--size", "32", "48", "--ignore_id", "255", "#e0e0c0", "--rate", "1e-05", "--count=-3"],
        ["--title", "Äpfel\u2028", "--names", "one", "--dark", "--rate", "0.30000000000000004"],
    ],
)  # fmt: skip
def test_what_is_written_is_read_as_the_same_settings(tmp_path: Path, flags: list[str]) -> None:
    settings = parse(*flags)
    file = written(settings, tmp_path / "sheet.yaml")
    assert parse("--args_file", str(file)) == settings
    text = file.read_text(encoding="utf-8")
    assert list(yaml.safe_load(text)) == [*("font", "folders", "model"), *SheetConfig.__annotations__]
    assert "# Places\nfont: null\n" in text
    assert "# Sheets\ntitle: " in text


def test_paths_hold_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "font.ttf").touch()
    monkeypatch.chdir(tmp_path)
    flags = [
        "--font",
        "data/font.ttf",
        "--folders",
        "data",
        "data/../data",
        "--model",
        "data",
        "--title",
        "data",
    ]
    file = written(parse(*flags), tmp_path / "sheet.yaml")
    monkeypatch.chdir("/")
    found = parse("--args_file", str(file))
    data = str(tmp_path / "data")
    assert (found.font, found.folders, found.model) == (f"{data}/font.ttf", (data, data), data)
    assert found.title == "data", "not a path, though there is one of this name"
    assert (
        parse("--model", "user/name").model
        == flag_values(SheetConfig, parse("--model", "user/name"))["model"]
    )


def test_secrets_are_not_written(tmp_path: Path) -> None:
    file = written(parse("--hub_token", "s3cret"), tmp_path / "sheet.yaml")
    assert "s3cret" not in file.read_text()
    assert parse("--args_file", str(file)).hub_token is None


def test_where_a_file_comes_from_is_not_a_flag(tmp_path: Path) -> None:
    file = written(parse("--title", "here"), tmp_path / "sheet.yaml")
    with file.open("a") as more:
        more.write(yaml_text({"provenance": {"starts": [{"step": 0}]}}))
    assert parse("--args_file", str(file)).title == "here"
