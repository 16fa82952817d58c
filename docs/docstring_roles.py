"""A griffe extension: cross-references in docstrings, ``:meth:`decode```, become plain code, which the site can show."""

from __future__ import annotations

import re

from griffe import Extension, Object

_ROLE = re.compile(r":(?:class|meth|func|data|mod|attr|exc):`~?([^`]+)`")


class DocstringRoles(Extension):
    """Rewrite the roles of every docstring."""

    def on_instance(self, *, obj: Object, **kwargs: object) -> None:
        """Replace each role by its name in backticks."""
        if obj.docstring is not None:
            obj.docstring.value = _ROLE.sub(r"`\1`", obj.docstring.value)
