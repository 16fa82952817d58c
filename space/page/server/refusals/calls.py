"""Calls, of programs and of the page itself: whatever goes wrong in one becomes a sentence here."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.exceptions import ComponentProcessingError, InvalidPathError
from gradio_client.utils import is_file_obj
from pydantic import ValidationError

from ...core.refusal import Refusal
from ...core.served_files import DISK_IS_FULL, cannot_write
from .lines import one_line
from .values import OWNS, check_files, checked_values

FAULT = "Something went wrong on the server, and nothing was changed; the log of the page says what."
_UNREADABLE = "A value of the call cannot be read as what it must be; nothing was changed."
# Lists of class names make long ones.
_LONGEST = 2000
# In the scope of a request, where there was a fault of ours.
FAULTS = "groupdnet.faults"

_log = logging.getLogger(__name__)


class CheckedBlocks(gr.Blocks):
    """Blocks whose calls fail with a sentence, whatever was sent and whatever happens."""

    async def process_api(
        self, block_fn: BlockFunction | int, inputs: list[Any], *arguments: Any, **options: Any
    ) -> dict[str, Any]:
        """Answer a call.

        Raises:
            gradio.Error: with a sentence, which shows neither paths nor traces.
        """
        function = self.fns[block_fn] if isinstance(block_fn, int) else block_fn
        name = f"/{function.api_name}" if function.api_visibility == "public" else f"call {function._id}"
        scope = _scope(options.get("request"))
        try:
            try:
                # What a part of the page says that happened to it.
                # Without a request: a test or a program calls the page within its process.
                owns = scope.get(OWNS, lambda path: True)
                check_files(getattr(options.get("event_data"), "_data", None), owns, is_file_obj)
                values = inputs if options.get("iterator") else checked_values(function, inputs, owns)
            except ValueError as error:
                told = str(error)
                _log.warning("%s was refused: %s", name, one_line(told))
                raise gr.Error(told[:1].upper() + told[1:]) from None
            return await super().process_api(function, values, *arguments, **options)
        except Refusal as refusal:
            raise _error(refusal.sentence, function) from None
        except gr.Error as error:
            raise _error(error.message, function) from None
        except (ComponentProcessingError, InvalidPathError, ValidationError) as error:
            _log.warning("%s was refused: %s", name, one_line(error))
            raise _error(_UNREADABLE, function) from None
        except Exception as error:
            if isinstance(error, OSError) and error.errno in DISK_IS_FULL:
                raise _error(cannot_write(error).sentence, function) from None
            _log.exception("%s failed", name)
            scope.get(FAULTS, []).append(True)
            raise _error(FAULT, function) from None


def _error(sentence: str, function: BlockFunction) -> gr.Error:
    """Return what a call fails with: the page shows it as HTML, programs as it is."""
    refusal = Refusal(one_line(sentence, _LONGEST))
    return refusal.for_programs() if function.api_visibility == "public" else refusal


def _scope(request: Any) -> MutableMapping[str, Any]:
    """Return the scope of the request that a call came with; empty for none."""
    # A list of one, if the call says that it is a batch.
    found = request[0] if isinstance(request, list) and request else request
    return getattr(getattr(found, "request", None), "scope", {})
