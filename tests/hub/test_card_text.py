"""What people write on a card is never lost, and what we wrote is refreshed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from groupdnet_hub import GroupDNet
from groupdnet_hub.hub.card_text import card_to_save, marked, refreshed
from tests.helpers.hub_models import make_model

FRONT = "---\nlicense: mit\n---"
OLD, NEW = marked(FRONT, "# model\n\n12 steps"), marked(FRONT, "# model\n\n99 steps")


def test_a_card_of_ours_is_replaced() -> None:
    assert refreshed(OLD, NEW) == NEW
    assert refreshed(OLD.replace("\n", "\r\n"), NEW).count("99 steps") == 1
    assert refreshed(OLD, OLD) == OLD
    assert refreshed("", NEW) == refreshed(" \n", NEW) == NEW


def test_text_around_our_part_stays() -> None:
    first, second = "About me.\n\n", "\n## Thanks\n\nTo all. <!-- not a mark -->\n"
    before = OLD.replace("<!-- Written", f"{first}<!-- Written") + second
    after = refreshed(before, NEW)
    assert after == NEW.replace("<!-- Written", f"{first}<!-- Written") + second
    assert refreshed(after, NEW) == after


@pytest.mark.parametrize(
    "written",
    [
        "My own words.",
        FRONT + "\n\nMy own words.\n",
        OLD.replace("12 steps", "12 steps, on my desk"),
        OLD.replace("<!-- End", "<!-- The end"),
        OLD.replace("<!-- Written", "<!-- Rewritten"),
    ],
)
def test_a_card_of_somebody_else_stays(written: str) -> None:
    assert refreshed(written, NEW) == written


def test_an_edited_front_matter_stays_and_the_part_is_refreshed() -> None:
    mine = "---\nlicense: mit\ntags:\n- street\n---"
    after = refreshed(OLD.replace(FRONT, mine), NEW)
    assert after.startswith(mine + "\n")
    assert "99 steps" in after
    assert "12 steps" not in after


def test_a_repository_with_a_licence_alone_gets_a_card() -> None:
    """As the Hub's own form for a new repository makes one."""
    after = refreshed("---\nlicense: apache-2.0\n---\n", NEW)
    assert after.startswith("---\nlicense: apache-2.0\n---\n")
    assert "99 steps" in after


def test_a_card_of_an_earlier_version_is_replaced_up_to_its_end() -> None:
    """It said that it would be, in its first comment."""
    mark = "<!-- Written by groupdnet_hub. Remove this line to keep your own edits. -->"
    before = f"{FRONT}\n\n{mark}\n\n# model\n\n12 steps\n\n## Citation\n\n```bibtex\n@x{{}}\n```\n\nMine.\n"
    after = refreshed(before, NEW)
    assert "12 steps" not in after
    assert "99 steps" in after
    assert after.endswith("\n\nMine.\n")
    own = before.replace(mark, "")
    assert refreshed(own, NEW) == own


def test_whose_card_is_used() -> None:
    mine, theirs = OLD + "Mine.\n", OLD + "Theirs.\n"
    assert card_to_save(NEW, "", mine) == NEW + "Mine.\n"
    assert card_to_save(NEW, OLD, mine) == NEW + "Mine.\n"  # nobody wrote on the one that is there
    assert card_to_save(NEW, theirs, mine) == NEW + "Theirs.\n"
    assert card_to_save(NEW, OLD, None) == NEW


@pytest.mark.parametrize("written", [b"My own words. \xff\xfe\r\nLatin: \xe9\n", "My öwn words.\n".encode()])
def test_a_hand_written_card_goes_with_the_model(tmp_path: Path, written: bytes) -> None:
    """To the bit, into another folder, and into one that holds a card of ours."""
    make_model().save_pretrained(tmp_path / "first")
    (tmp_path / "first" / "README.md").write_bytes(written)
    loaded = GroupDNet.from_pretrained(tmp_path / "first")
    loaded.save_pretrained(tmp_path / "first")
    make_model(1).save_pretrained(tmp_path / "third")
    for name in ("second", "third"):
        loaded.save_pretrained(tmp_path / name)
    found = {path.parent.name: path.read_bytes() for path in tmp_path.glob("*/README.md")}
    assert found == dict.fromkeys(("first", "second", "third"), written)


def test_new_facts_are_told_beside_what_was_written(tmp_path: Path) -> None:
    model = make_model()
    model.card_facts = {"steps": 12}
    model.save_pretrained(tmp_path / "first")
    card = tmp_path / "first" / "README.md"
    card.write_text(card.read_text() + "\n## Thanks\n\nTo all.\n")
    loaded = GroupDNet.from_pretrained(tmp_path / "first")
    loaded.card_facts = {"steps": 99}
    for place in (tmp_path / "first", tmp_path / "second"):
        loaded.save_pretrained(place)
        text = (place / "README.md").read_text()
        assert "| Steps | 99 |" in text
        assert "| Steps | 12 |" not in text
        assert text.endswith("\n## Thanks\n\nTo all.\n")
    assert 'from_pretrained("second")' in text


def test_a_card_that_cannot_be_read_harms_nothing(tmp_path: Path) -> None:
    """A link out of the folder, and one that is longer than any card: the first is replaced, the second stays."""
    make_model().save_pretrained(tmp_path / "model")
    card = tmp_path / "model" / "README.md"
    (tmp_path / "secret").write_text("secret")
    card.unlink()
    os.symlink(tmp_path / "secret", card)
    loaded = GroupDNet.from_pretrained(tmp_path / "model")
    assert loaded.card_text is None
    card.unlink()
    long = b"x" * (4 * 2**20 + 1)
    card.write_bytes(long)
    loaded = GroupDNet.from_pretrained(tmp_path / "model")
    assert loaded.card_text is None
    loaded.save_pretrained(tmp_path / "model")
    assert card.read_bytes() == long
