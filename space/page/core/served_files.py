"""Files that gradio serves as they are: they lie in its own folder, where the oldest make room for new ones."""

from __future__ import annotations

import errno
import hashlib
import io
import logging
import os
import tempfile
from pathlib import Path

from PIL import Image

from groupdnet_hub.io.atomic import atomic_write

from .refusal import Refusal

# Numbers of errors.
DISK_IS_FULL = {errno.ENOSPC, errno.EDQUOT}


def served_folder() -> Path:
    """Return gradio's folder of files, which is made if it is missing."""
    folder = Path(os.environ.get("GRADIO_TEMP_DIR", str(Path(tempfile.gettempdir()) / "gradio")))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def served_picture(picture: Image.Image) -> str:
    """Return the PNG file of a picture."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return served_file(buffer.getvalue(), "picture.png")


def served_file(content: bytes, name: str) -> str:
    """Return a file of this content, which is written once, and atomically.

    gradio itself would write a picture anew for every session that shows it, while another one reads it.

    Raises:
        Refusal: if the disk is full, or cannot be written to.
    """
    try:
        path = served_folder() / hashlib.sha256(content).hexdigest() / name
        try:
            os.utime(path)  # it is new again, and stays
        except FileNotFoundError:
            path.parent.mkdir(exist_ok=True)
            with atomic_write(path) as partial:
                partial.write_bytes(content)
    except OSError as error:
        raise cannot_write(error) from error
    return str(path)


def cannot_write(error: OSError) -> Refusal:
    """Log why a file could not be written, for whoever runs the page, and return what its visitors are told."""
    logging.getLogger(__name__).error("A file for a visitor cannot be written: %s", error)
    return Refusal(
        "The page's server cannot write files at the moment; your work is as it was. Try again later."
    )
