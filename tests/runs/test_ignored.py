"""The flag of what stands for "unknown" in label maps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from groupdnet_hub import LabelSet
from groupdnet_hub.config.validation import Ignored
from groupdnet_hub.data.unknown import with_ignored
from groupdnet_hub.runs.args_file import read_flags
from groupdnet_hub.runs.flags import parse_settings
from groupdnet_hub.runs.ignored import as_flag, ignore_option, read_ignored
from groupdnet_hub.runs.settings import Settings


@dataclass(frozen=True, kw_only=True)
class MapConfig(Settings):
    """Label maps."""

    ignore_id: tuple[Ignored, ...] = ignore_option("unknown pixels")


def parse(*argv: str) -> MapConfig:
    return parse_settings(MapConfig, argv, prog="maps.py", description="Maps.")


def test_the_flag_takes_ids_and_colours() -> None:
    assert parse().ignore_id == ()
    assert parse("--ignore_id", "255", "#e0E0c0", "0").ignore_id == (255, (224, 224, 192), 0)


def test_a_file_of_flags_takes_them_too(tmp_path: Path) -> None:
    for text in ("ignore_id: [255, '#e0e0c0']", "ignore_id: 255"):
        (tmp_path / "flags.yaml").write_text(text)
        found = parse(*read_flags(tmp_path / "flags.yaml", MapConfig)).ignore_id
        assert found == ((255, (224, 224, 192)) if "#" in text else (255,))


@pytest.mark.parametrize("value", ["-1", "65536", "#e0e0c", "e0e0c0", "void", "1.5", "٣", ""])
def test_other_values_are_refused_by_name(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="--ignore_id takes ids from 0 to 65535 and colours"):
        read_ignored("--ignore_id", ["255", value])
    with pytest.raises(SystemExit):
        parse("--ignore_id", value)
    assert "--ignore_id" in capsys.readouterr().err


def test_a_label_set_ignores_what_the_flag_names_too() -> None:
    labels = LabelSet(("sky", "road"), ((0, 0, 0), (9, 9, 9)), (255,))
    assert with_ignored(labels, ()) == labels
    assert with_ignored(labels, (0, (1, 2, 3), 255)).ignore == (255, 0, (1, 2, 3))
    with pytest.raises(ValueError, match=r"--ignore_id: ignore holds the colour .*list its id"):
        with_ignored(labels, ((9, 9, 9),))
    with pytest.raises(ValueError, match="--ignore_id: ignore lists the ids of all classes"):
        with_ignored(labels, (0, 1))


def test_another_script_is_given_the_same_values() -> None:
    values = (255, (224, 5, 192), 0)
    assert parse(*as_flag(values)).ignore_id == values
    assert as_flag(()) == []
