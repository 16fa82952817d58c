"""What class names may be, at every door that they come in by."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from groupdnet_hub import GroupDNetConfig, LabelSet
from groupdnet_hub.baselines import system_config
from groupdnet_hub.config.names import LONGEST_NAME, listed, readable

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
COLOURS = ((0, 0, 0), (1, 1, 1))
REFUSED = {
    "a name of 65 characters, where 64 are the most": "x" * (LONGEST_NAME + 1),
    "a value that is not a name": " \u3000",
    "white space around it": "sky ",
    "the character U+0007": "sk\x07y",
    "the character U+000A": "sk\ny",
    "the character U+0085": "sk\x85y",
    "the character U+202E": "sky\u202egnp.",
    "the character U+2066": "\u2066sky",
    "the character U+200F": "sky\u200f",
    "the character U+061C": "sky\u061c",
    "the character U+D800": "sky\ud800",
    "Unicode's normal form C, in which it is 'caf\\xe9'": DECOMPOSED,
}


def write_classes(folder: Path, names: list[Any]) -> Path:
    file = folder / "classes.json"
    classes = [{"id": i, "name": n, "color": COLOURS[i]} for i, n in enumerate(names)]
    file.write_text(json.dumps({"classes": classes}), encoding="utf-8")
    return file


@pytest.mark.parametrize(("why", "name"), REFUSED.items())
def test_a_name_that_breaks_the_rule_is_refused_at_every_door(why: str, name: str, tmp_path: Path) -> None:
    good = LabelSet(("sky", "road"), COLOURS)
    network = GroupDNetConfig.for_labels(good, (16, 16), 4)
    doors = (
        lambda: LabelSet(("sky", name), COLOURS),
        lambda: LabelSet.from_file(write_classes(tmp_path, ["sky", name])),
        lambda: network.replace(class_names=("sky", name)),
        lambda: GroupDNetConfig.from_json(network.to_json().replace('"road"', json.dumps(name))),
        lambda: system_config("pix2pixHD", good, (16, 16), 4).replace(class_names=("sky", name)),
    )
    for door in doors:
        with pytest.raises(ValueError, match="rename the class") as refusal:
            door()
        told = str(refusal.value)
        assert why in told
        assert len(told) < 400
        told.encode()  # what a log or a page can show


def test_names_of_every_script_and_markup_are_names() -> None:
    names = (
        "<img src=x>",
        COMPOSED,
        "x" * LONGEST_NAME,
        "\u5929\u7a7a",
        "\u0645\u06cc\u200c\u0631\u0648\u062f",
    )
    assert LabelSet.from_names(names).names == names


def test_a_doubled_name_is_refused() -> None:
    with pytest.raises(ValueError, match="'sky' more than once"):
        LabelSet(("sky", "sky"), COLOURS)


def test_names_that_may_be_anything_are_readable_in_messages() -> None:
    assert readable("wall\u202e\ud800\n") == "wall\\u202e\\ud800\\n"
    assert len(readable("x" * 10**6)) == len(readable("\u202e" * 30)) == 40
    assert readable("x" * 40) == "x" * 40
    assert listed(["x" * 10**6] * 30) == ", ".join(["x" * 37 + "..."] * 20) + ", ..."
