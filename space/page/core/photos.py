"""From a photo to a look: what is cut out of it, its label map, and the look on the shelf. Pure functions, no page."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import numpy as np
from PIL import Image

from groupdnet_hub import GroupDNetPipeline, LabelSet
from groupdnet_hub.data.label_maps import read_partial_label_map
from groupdnet_hub.data.person_frames import Box, cut, cut_map, plain_colour
from groupdnet_hub.data.person_maps import cut_out
from groupdnet_hub.data.turned_pairs import check_orientations
from groupdnet_hub.io.headers import Header, header_of
from groupdnet_hub.io.images import read_photo
from groupdnet_hub.io.orientation import TURNED

from .actions import instances_of
from .photo_frames import middle_frame
from .session import Photo, Session, ShelfItem, keep_photo

# How many of the pictures that the model itself has drawn are offered as photos to try.
OFFERED = 4
# A photo is kept at up to this many times the model's size: the outline of a person is cut out more finely.
_FINER = 4
# Which of the plain backdrops a person is put on: a neutral light grey.
_BACKDROP = 1
# Marks unknown pixels of a map that is cropped; more than any class id.
_NO_CLASS = 65535
# A label map whose proportions differ from the photo's by no more than this fraction is one of the uncropped photo.
_SAME_PROPORTIONS = 0.02


def put_photo(
    pipeline: GroupDNetPipeline,
    session: Session,
    source: str | os.PathLike[str] | Image.Image,
    box: Box | None = None,
) -> Session:
    """Put a photo into the session, to take a look from.

    Args:
        pipeline: the model.
        session: the visitor's.
        source: the photo, or its file.
        box: the part that is cut out, of the model's proportions; it may reach beyond the photo. By default the middle.

    Raises:
        ValueError: if it cannot be read as a photo.
    """
    photo, size = read_photo(source), pipeline.model.config.image_size
    if box is None:
        box = middle_frame(photo.size, size)
    picture = cut(photo, box, _colour_beyond(photo, box))
    if picture.height > _FINER * size[0]:
        picture = picture.resize((_FINER * size[1], _FINER * size[0]), Image.Resampling.LANCZOS)
    header = header_of(photo)
    assert header is not None, "a photo that was read has a size"
    picture.info.pop(TURNED, None)  # its map is compared with the whole photo, once
    return replace(session, photo=Photo(picture, photo.size, box, _digest(photo), header.orientation))


def put_example(session: Session, index: int) -> Session:
    """Put one of :func:`examples`, a picture that the model has drawn itself, into the session as the photo.

    Raises:
        ValueError: if there is no such picture.
    """
    offered = examples(session)
    if not isinstance(index, int) or not 0 <= index < len(offered):
        raise ValueError(f"there is no example {index!r}; they are 0 to {len(offered) - 1}.")
    picture = offered[index].look.image
    full = Box(0, 0, picture.width, picture.height)
    return replace(session, photo=Photo(picture, picture.size, full, _digest(picture)))


def examples(session: Session) -> tuple[ShelfItem, ...]:
    """Return bundled looks to try as photos, as different ones as there are: example maps are sorted by kind."""
    step = max(1, len(session.bundled) // OFFERED)
    return session.bundled[::step][:OFFERED]


def photo_map(
    session: Session,
    path: str | os.PathLike[str] | np.ndarray,
    labels: LabelSet,
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the label map of the session's photo at the model's size, cropped as the photo was.

    Args:
        session: the visitor's.
        path: the label map.
        labels: the model's classes.
        size: (height, width) of the model's pictures.

    Returns:
        (int64 [H, W], bool [H, W], the pixels that are unknown).

    Raises:
        ValueError: if it is no label map of these classes, fits neither the photo nor its crop, or is not turned as the
            photo is by its EXIF orientation.
    """
    photo = photo_of(session)
    doubt_of_map(session, path)
    ids, unknown = read_partial_label_map(path, labels)
    ids = np.where(unknown & ~np.isin(ids, labels.ignored_ids), _NO_CLASS, ids)
    height, width = ids.shape
    full_width, full_height = photo.uncropped
    if abs((width / height) / (full_width / full_height) - 1) < _SAME_PROPORTIONS:
        ids = cut_map(ids, photo.uncropped, photo.box)
    labels = replace(labels, ignore=(*labels.ignore, _NO_CLASS))
    return read_partial_label_map(ids, labels, size=size, resize=True)


def doubt_of_map(session: Session, path: str | os.PathLike[str] | np.ndarray) -> str | None:
    """Return a warning if an EXIF orientation turns the photo or its map alone, and sizes do not tell; else None.

    Raises:
        ValueError: if there is no photo, and if sizes tell that the two do not fit.
    """
    photo = photo_of(session)
    width, height = photo.uncropped
    stored = (height, width) if photo.orientation < 5 else (width, height)
    return check_orientations(Header(stored, photo.orientation), path, proportions=True)


def photo_of(session: Session) -> Photo:
    """Return the photo that waits for its label map.

    Raises:
        ValueError: if there is none.
    """
    if session.photo is None:
        raise ValueError("there is no photo yet: upload one first.")
    return session.photo


def is_photo_of(session: Session, source: str | os.PathLike[str]) -> bool:
    """Return whether this is the session's photo, which is framed already.

    Raises:
        ValueError: if it cannot be read as a photo.
    """
    return session.photo is not None and session.photo.digest == _digest(read_photo(source))


def encode(
    pipeline: GroupDNetPipeline,
    session: Session,
    label_map: np.ndarray,
    plain_backdrop: bool = False,
    unknown: np.ndarray | None = None,
) -> Session:
    """Put the look of the session's photo on the shelf.

    Args:
        pipeline: the model.
        session: with the photo.
        label_map: of the photo, int64 [H, W] at the model's size.
        plain_backdrop: cut the person out along the map and put them on plain light grey first, as models of people
            have seen people.
        unknown: bool [H, W], pixels of the map whose class is not known: what the photo shows there is in no code.

    Raises:
        ValueError: if there is no photo, or nobody on the map to cut out.
    """
    photo, instances = photo_of(session).picture, instances_of(pipeline, label_map)
    if plain_backdrop:
        if not label_map.any():
            raise ValueError("the map is empty: paint the person on it, or upload its label map.")
        photo = cut_out(photo, _enlarged(label_map, photo.size), _BACKDROP)
    look = pipeline.encode(photo, label_map, instance=instances, unknown=unknown)
    return keep_photo(session, look)


def _enlarged(label_map: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a label map at a photo's (width, height): only which pixels are the person, with smooth outlines."""
    person = Image.fromarray(np.where(label_map != 0, 255, 0).astype(np.uint8))
    return np.asarray(person.resize(size, Image.Resampling.BICUBIC)) >= 128


def _colour_beyond(photo: Image.Image, box: Box) -> tuple[int, int, int]:
    """Return the colour of what a frame shows beyond the photo: the median of the photo's border."""
    if (
        box.left >= 0
        and box.top >= 0
        and box.left + box.width <= photo.width
        and box.top + box.height <= photo.height
    ):
        return (0, 0, 0)
    small = photo.copy()
    small.thumbnail((256, 256))
    inner = np.zeros((small.height, small.width), np.int64)
    inner[
        small.height // 16 : -(small.height // 16) or None, small.width // 16 : -(small.width // 16) or None
    ] = 1
    return plain_colour(small, inner)


def _digest(photo: Image.Image) -> str:
    return hashlib.sha256(photo.tobytes()).hexdigest()
