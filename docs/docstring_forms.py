"""A griffe extension: two forms of our docstrings that the site cannot show as they are.

Cross-references such as ``:meth:`decode``` become plain code, and an argument entry for several names, ``height, width:
of the picture.``, becomes one entry for each.
"""

from __future__ import annotations

import re

from griffe import Extension, Object

_ROLE = re.compile(r":(?:class|meth|func|data|mod|attr|exc):`~?([^`]+)`")
# An entry and the lines of its text, which are indented further.
_SHARED = re.compile(r"^( +)(\w+(?:, \w+)+):( .*\n(?:\1 +.*\n?)*)", re.MULTILINE)


class DocstringForms(Extension):
    """Rewrite every docstring."""

    def on_instance(self, *, obj: Object, **kwargs: object) -> None:
        """Rewrite the docstring of one module, class, function or attribute."""
        if obj.docstring is not None:
            text = _ROLE.sub(r"`\1`", obj.docstring.value)
            obj.docstring.value = _SHARED.sub(_apart, text + "\n").rstrip("\n")


def _apart(entry: re.Match[str]) -> str:
    """Return an entry's text once for each of its names."""
    indent, names, text = entry.groups()
    text = text if text.endswith("\n") else text + "\n"
    return "".join(f"{indent}{name}:{text}" for name in names.split(", "))
