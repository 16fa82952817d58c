"""What the values of a call must be: looked at before gradio does, which would answer nothing, or fetch a file."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.data_classes import FileData
from gradio.utils import get_upload_folder
from gradio_client.utils import is_file_obj_with_meta

from groupdnet_hub.io.strict_json import shown

# Of a call: nested in each other, and altogether. What a browser brings back is a few hundred texts.
DEEPEST, MOST_VALUES = 32, 10_000
_LONGEST_PATH = 4096
# Of a path: whether the client that calls has uploaded it. In the scope of a request.
Owns = Callable[[Path], bool]
OWNS = "groupdnet.owns"
_UPLOAD_FIRST = "upload it first, and send the path that /gradio_api/upload returns"


def checked_values(function: BlockFunction, values: Sequence[Any], owns: Owns) -> list[Any]:
    """Return the values of a call, one for each input of a function; states, which no client sends, may be left out.

    Args:
        function: that is called.
        values: that were sent.
        owns: tells which uploads the client may use.

    Raises:
        ValueError: for too few or too many, and for those of a wrong type; the message names them.
    """
    asked = [block for block in function.inputs if not block.skip_api]
    given = list(values)
    if len(given) == len(asked) != len(function.inputs):
        left = iter(given)
        given = [None if block.skip_api else next(left) for block in function.inputs]
    is_public = function.api_visibility == "public"
    has_state = any(
        one is not None for one, block in zip(given, function.inputs, strict=False) if block.skip_api
    )
    too_many = len(given) > len(function.inputs) or has_state
    if len(given) < len(function.inputs) or (is_public and too_many):
        names = ", ".join(_name(block) for block in asked) or "nothing"
        raise ValueError(f"{len(values)} values were sent; this call takes {names}.")
    for place, block in enumerate(function.inputs):
        value = given[place]
        if block.skip_api:
            continue
        check_files(value, owns)
        if place in function.component_prop_inputs:
            if not isinstance(value, dict):
                raise ValueError(f"the {_name(block)} is {shown(value)}: it must be an object.")
            value = value.get("value")
        _check_type(block, value, is_public)
    return given


def check_files(value: Any, owns: Owns, is_file: Callable[[Any], bool] = is_file_obj_with_meta) -> None:
    """Refuse files that the client did not upload, wherever they stand in a value: gradio would fetch or copy them.

    Args:
        value: that was sent.
        owns: tells which uploads the client may use.
        is_file: tells what gradio takes for a file there.

    Raises:
        ValueError: for the first of them.
    """
    for part in parts(value):
        if is_file(part):
            _check_file(part, owns)


def parts(value: Any) -> Iterator[Any]:
    """Yield a value and all that is nested in it.

    Raises:
        ValueError: where it is nested too deeply, or too much.
    """
    waiting, count = [(value, 0)], 0
    while waiting:
        part, depth = waiting.pop()
        count += 1
        if depth > DEEPEST:
            raise ValueError(f"the call nests more than {DEEPEST} deep.")
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        if count + len(waiting) + len(inner) > MOST_VALUES:
            raise ValueError(f"the call holds more than {MOST_VALUES} values.")
        waiting.extend((one, depth + 1) for one in inner)
        yield part


def _check_file(file: dict[str, Any], owns: Owns) -> None:
    path = file["path"]
    if "://" in path or path.casefold().startswith(("http:", "https:", "file:", "data:")):
        raise ValueError(f"files of other addresses are not fetched: {_UPLOAD_FIRST}.")
    try:
        FileData.model_validate(file)
    except ValueError:
        raise ValueError(f"a file is not described as it must be: {_UPLOAD_FIRST}.") from None
    if file.get("is_stream") or not _is_upload(path, owns):
        raise ValueError(f"there is no upload {shown(os.path.basename(path))}: {_UPLOAD_FIRST}.")


def _is_upload(path: str, owns: Owns) -> bool:
    if len(path) > _LONGEST_PATH:
        return False
    try:
        found = Path(path).resolve(strict=True)
        is_there = found.is_file() and found.is_relative_to(Path(get_upload_folder()).resolve())
        return is_there and owns(found)
    except (OSError, ValueError, RuntimeError):  # not there, NUL and surrogate characters, links in a circle
        return False


def _check_type(block: Any, value: Any, is_public: bool) -> None:
    """Refuse a value that a component cannot take."""
    name, wanted = _name(block), ""
    if isinstance(block, (gr.Number, gr.Slider)):
        if value is not None and not _is_number(value):
            wanted = "a number"
    elif isinstance(block, gr.Textbox):
        if value is not None and not isinstance(value, str):
            wanted = "a text"
    elif isinstance(block, gr.Checkbox):
        if value is not None and not isinstance(value, bool):
            wanted = "true or false"
    elif isinstance(block, (gr.File, gr.UploadButton)):
        if value is None:
            raise ValueError(f"the {name} is missing: {_UPLOAD_FIRST}.")
        if not is_file_obj_with_meta(value):
            wanted = f'a file, {{"path": ..., "meta": {{"_type": "gradio.FileData"}}}}: {_UPLOAD_FIRST}'
    if wanted:
        meant = block.info if is_public and getattr(block, "info", None) else wanted
        raise ValueError(f"the {name} is {shown(value)}: it must be {meant}.")


def _is_number(value: Any) -> bool:
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def _name(block: Any) -> str:
    """Return what a value is called: in calls of programs, its parameter."""
    if isinstance(block, gr.UploadButton):  # whose label says what it does
        return "file"
    return str(getattr(block, "label", None) or "value")
