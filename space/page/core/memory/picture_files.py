"""A picture's PNG that carries its look: what drew it, for people to read, and all that is needed to change it."""

from __future__ import annotations

import hashlib
import io
import json
from contextlib import closing
from typing import Any

from PIL.PngImagePlugin import PngInfo

from groupdnet_hub import GroupDNetConfig, Look
from groupdnet_hub.io.archives import archive_of, files_in
from groupdnet_hub.io.formats.png_chunks import png_chunks
from groupdnet_hub.io.strict_json import parse_json

from .model_identity import ModelIdentity
from .packed_looks import packed
from .saved_work import read_look

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Of the text chunk: JSON with the model, the seed, and the label map's digest.
KEYWORD = "GroupDNet"
# Private, and not to be copied by programs that change pixels: an archive of the look's files without the picture.
LOOK_CHUNK = b"gdLK"
_PICTURE = "image.png"
_MOST_TEXT = 4096
_MOST_LOOK = 16 * 2**20


def picture_file(look: Look, model: ModelIdentity) -> bytes:
    """Return the PNG of a look's picture. Its pixels are those of the picture."""
    files = files_in(packed(look).archive, "the look", most_files=8, most_bytes=2**30)
    del files[_PICTURE]
    facts = {
        "format": 1,
        "model": model.as_json(),
        "seed": look.seed,
        "map": hashlib.sha256(look.mask.tobytes()).hexdigest(),
    }
    carried = PngInfo()
    carried.add_text("Software", "GroupDNet Hub")
    carried.add_text(KEYWORD, json.dumps(facts))
    carried.add(LOOK_CHUNK, archive_of(files))
    buffer = io.BytesIO()
    look.image.save(buffer, "PNG", compress_level=1, pnginfo=carried)
    return buffer.getvalue()


def look_of_picture(content: bytes, model: ModelIdentity, config: GroupDNetConfig) -> Look:
    """Return the look that a PNG of :func:`picture_file` carries; the file may come from anyone.

    Raises:
        ValueError: for a picture that carries none, or one of another model, with the names of both.
    """
    facts, carried = _carried(content)
    if carried is None:
        raise ValueError(
            "this picture carries no look: this page did not save it, or a program has taken the look out of it"
        )
    model.check_is(facts.get("model") if isinstance(facts, dict) else None, "this picture")
    what = "the look in this picture"
    files = files_in(carried, what, most_files=8, most_bytes=_MOST_LOOK)
    return read_look(archive_of({**files, _PICTURE: content}), config, what)


def _carried(content: bytes) -> tuple[Any, bytes | None]:
    """Return the facts and the archive that a PNG carries; None in the place of what is missing."""
    facts, carried, file = None, None, io.BytesIO(content)
    start = KEYWORD.encode() + b"\0"
    with closing(png_chunks(file)) as chunks:
        for name, length in chunks:
            if name == b"tEXt" and facts is None and length <= _MOST_TEXT:
                text = file.read(length)
                if text.startswith(start):
                    facts = parse_json(
                        text[len(start) :].decode("latin-1"), "what this picture tells of its model"
                    )
            elif name == LOOK_CHUNK and carried is None and length <= _MOST_LOOK:
                carried = file.read(length)
    return facts, carried
