"""The style sheets of the page, which browsers read as one."""

from __future__ import annotations

import re
from collections import defaultdict

from tests.helpers.shared_data import ROOT

RULE = re.compile(r"^\s*([^@{}]*?)\s*\{", re.MULTILINE)


def test_a_class_has_its_style_from_one_sheet() -> None:
    """Where two describe one, the later takes from the other part what it has not thought of."""
    sheets = defaultdict(set)
    for sheet in (ROOT / "space" / "page" / "ui" / "static").glob("*.css"):
        text = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8"), flags=re.DOTALL)
        for selectors in RULE.findall(text):
            for selector in re.split(r"\s*,\s*", selectors):
                if re.fullmatch(r"\.[\w-]+", selector):
                    sheets[selector].add(sheet.name)
    assert len(sheets) > 20
    assert {name: found for name, found in sheets.items() if len(found) > 1} == {}
