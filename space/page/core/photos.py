"""From a photo to a look: what is cut out of it, its label map, and the look on the shelf. Pure functions, no page."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from groupdnet_hub import GroupDNetPipeline, LabelSet, Look
from groupdnet_hub.data.label_maps import read_partial_label_map
from groupdnet_hub.data.people import shows_people
from groupdnet_hub.data.person_frames import Box, cut
from groupdnet_hub.data.person_maps import cut_out
from groupdnet_hub.data.turned_pairs import check_orientations
from groupdnet_hub.io.headers import Header

from .actions import instances_of
from .photo_reading.files import SIDE, WholePhoto, digest_of, read_whole
from .photo_reading.frames import (
    SAME_PROPORTIONS,
    colour_beyond,
    map_in_frame,
    middle_frame,
    paste_map,
    person_frame,
    scaled,
    whole_frame,
)
from .session import Photo, Session, ShelfItem, keep_photo

# How many of the pictures that the model itself has drawn are offered as photos to try.
OFFERED = 4
# A photo is kept at up to this many times the model's size: the outline of a person is cut out more finely.
_FINER = 4
# Which of the plain backdrops a person is put on: a neutral light grey.
_BACKDROP = 1
# Marks unknown pixels of a map that is cropped; more than any class id.
_NO_CLASS = 65535


@dataclass(frozen=True, eq=False)
class PhotoMap:
    """The label map of the session's photo, as the photo is framed.

    Attributes:
        session: with the map; a guessed frame has become that of the map's person.
        label: int64 [H, W] at the model's size.
        unknown: bool [H, W], the pixels that are unknown.
        doubt: a warning if an EXIF orientation turns the photo or its map alone, and sizes do not tell; else None.
    """

    session: Session
    label: np.ndarray
    unknown: np.ndarray
    doubt: str | None = None


def put_photo(
    pipeline: GroupDNetPipeline,
    session: Session,
    source: str | os.PathLike[str] | Image.Image | WholePhoto,
    box: Box | None = None,
) -> Session:
    """Put a photo into the session, to take a look from.

    Args:
        pipeline: the model.
        session: the visitor's.
        source: the photo, or its file.
        box: the part that is cut out, of the model's proportions, in pixels of the photo as it was read; it may reach
            beyond the photo. By default all of the photo for a model of people, which has seen whole people, and the
            middle for others.

    Raises:
        ValueError: if it cannot be read as a photo.
    """
    whole = source if isinstance(source, WholePhoto) else read_whole(source)
    size = pipeline.model.config.image_size
    guess = whole_frame if shows_people(pipeline.labels) else middle_frame
    chosen = guess(whole.picture.size, size) if box is None else box
    picture = _framed(whole.picture, chosen, size)
    return replace(session, photo=Photo(whole, picture, chosen, is_framed=box is not None))


def move_frame(session: Session, box: Box, size: tuple[int, int], is_chosen: bool = True) -> Session:
    """Frame another part of the session's photo.

    Args:
        session: the visitor's.
        box: as :func:`put_photo` takes it.
        size: (height, width) of the model's pictures.
        is_chosen: whether the visitor chose it; another map may move one that nobody chose.

    Raises:
        ValueError: if there is no photo.
    """
    photo = photo_of(session)
    picture = _framed(photo.whole.picture, box, size)
    return replace(session, photo=replace(photo, picture=picture, box=box, is_framed=is_chosen))


def _framed(photo: Image.Image, box: Box, size: tuple[int, int]) -> Image.Image:
    """Return what is in a frame, no larger than is of use to a model of this size."""
    picture = cut(photo, box, colour_beyond(photo, box))
    if picture.height > _FINER * size[0]:
        picture = picture.resize((_FINER * size[1], _FINER * size[0]), Image.Resampling.LANCZOS)
    return picture


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
    whole = WholePhoto(picture, picture.size, 1, digest_of(picture))
    label = offered[index].look.mask.astype(np.uint16)
    return replace(session, photo=Photo(whole, picture, full, is_framed=True, label=label))


def examples(session: Session) -> tuple[ShelfItem, ...]:
    """Return bundled looks to try as photos, as different ones as there are: example maps are sorted by kind."""
    step = max(1, len(session.bundled) // OFFERED)
    return session.bundled[::step][:OFFERED]


def bring_map(
    session: Session,
    source: str | os.PathLike[str] | np.ndarray,
    labels: LabelSet,
    size: tuple[int, int],
) -> PhotoMap:
    """Bring the label map of the session's photo: of all of it, or of the part in its frame.

    One of all of the photo is cropped as the photo is; if the frame is only a guess, that of the map's person takes its
    place.

    Args:
        session: the visitor's.
        source: the label map.
        labels: the model's classes, with what stands for unknown pixels.
        size: (height, width) of the model's pictures.

    Raises:
        ValueError: if it is no label map of these classes, fits neither the photo nor its crop, or is not turned as the
            photo is by its EXIF orientation.
    """
    photo = photo_of(session)
    doubt = _doubt(photo, source)
    ids, unknown = read_partial_label_map(source, labels)
    ids = np.where(unknown & ~np.isin(ids, labels.ignored_ids), _NO_CLASS, ids)
    width, height = photo.whole.picture.size
    if not _alike(ids.shape, (height, width)):
        labels = replace(labels, ignore=(*labels.ignore, _NO_CLASS))
        label, unknown = read_partial_label_map(ids, labels, size=size, resize=True)
        whole = paste_map(np.zeros((height, width)), ids, ids >= 0, photo.box, (width, height))
        return PhotoMap(_with_map(session, whole), label, unknown, doubt)
    brought = _with_map(session, ids)
    known = np.where(unknown, 0, ids)
    if not photo.is_framed and shows_people(labels) and not _alike((height, width), size) and known.any():
        box = _frame_on(known, labels, size, photo.whole.picture)
        brought = move_frame(brought, box, size, is_chosen=False)
    return replace(framed_map(brought, labels, size), doubt=doubt)


def framed_map(session: Session, labels: LabelSet, size: tuple[int, int]) -> PhotoMap:
    """Return the label map that was brought, as the photo is framed.

    Args:
        session: with a photo that has a map.
        labels: the model's classes, with what stands for unknown pixels.
        size: (height, width) of the model's pictures.
    """
    photo = photo_of(session)
    assert photo.label is not None
    ids = map_in_frame(photo.label, photo.whole.picture.size, photo.box, size)
    labels = replace(labels, ignore=(*labels.ignore, _NO_CLASS))
    return PhotoMap(session, *read_partial_label_map(ids, labels))


def carry_map(session: Session, label: np.ndarray, box: Box, labels: LabelSet) -> PhotoMap:
    """Return the photo framed otherwise, with what was brought and painted as its map where the old frame had it.

    Args:
        session: with the photo.
        label: int64 [H, W] at the model's size, the map as it is now.
        box: the new frame.
        labels: the model's classes, with what stands for unknown pixels.
    """
    photo, size = photo_of(session), (label.shape[0], label.shape[1])
    width, height = photo.whole.picture.size
    if photo.label is None:
        whole, painted = np.zeros((height, width), np.uint16), label != 0
    else:
        whole, painted = photo.label, label != framed_map(session, labels, size).label
    whole = paste_map(whole, label, painted, photo.box, (width, height))
    return framed_map(move_frame(_with_map(session, whole), box, size), labels, size)


def _with_map(session: Session, whole: np.ndarray) -> Session:
    """Return the session with a label map of all of its photo, which is kept no larger than the photo."""
    for axis, length in enumerate(whole.shape):
        if length > SIDE:
            whole = whole.take((2 * np.arange(SIDE) + 1) * length // (2 * SIDE), axis=axis)
    return replace(session, photo=replace(photo_of(session), label=whole.astype(np.uint16)))


def _frame_on(ids: np.ndarray, labels: LabelSet, size: tuple[int, int], photo: Image.Image) -> Box:
    """Return the frame around the person of a label map, in pixels of its photo."""
    aspect = size[0] / size[1]
    return scaled(person_frame(ids, labels, aspect), photo.width / ids.shape[1], aspect)


def _alike(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    """Return whether two (height, width) have the same proportions."""
    return abs((first[1] / first[0]) / (second[1] / second[0]) - 1) < SAME_PROPORTIONS


def _doubt(photo: Photo, source: str | os.PathLike[str] | np.ndarray) -> str | None:
    (width, height), orientation = photo.whole.full_size, photo.whole.orientation
    stored = (height, width) if orientation < 5 else (width, height)
    return check_orientations(Header(stored, orientation), source, proportions=True)


def photo_of(session: Session) -> Photo:
    """Return the photo that a look is taken from.

    Raises:
        ValueError: if there is none.
    """
    if session.photo is None:
        raise ValueError("there is no photo yet: upload one first.")
    return session.photo


def is_photo_of(session: Session, source: str | os.PathLike[str]) -> bool:
    """Return whether this is the file of the session's photo, which is framed already.

    Raises:
        ValueError: if the file is gone.
    """
    return session.photo is not None and session.photo.whole.digest == digest_of(source)


def look_of(
    pipeline: GroupDNetPipeline,
    session: Session,
    label_map: np.ndarray,
    plain_backdrop: bool = False,
    unknown: np.ndarray | None = None,
) -> Look:
    """Return the look of the session's photo.

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
        photo = on_plain_backdrop(photo, label_map)
    return pipeline.encode(photo, label_map, instance=instances, unknown=unknown)


def encode(
    pipeline: GroupDNetPipeline,
    session: Session,
    label_map: np.ndarray,
    plain_backdrop: bool = False,
    unknown: np.ndarray | None = None,
) -> Session:
    """Put :func:`look_of` on the shelf."""
    return keep_photo(session, look_of(pipeline, session, label_map, plain_backdrop, unknown))


def on_plain_backdrop(photo: Image.Image, label_map: np.ndarray) -> Image.Image:
    """Cut the person out of a photo along its label map and put them on plain light grey.

    Raises:
        ValueError: if nobody is on the map.
    """
    if not label_map.any():
        raise ValueError("the map is empty: paint the person on it, or upload its label map.")
    return cut_out(photo, _enlarged(label_map, photo.size), _BACKDROP)


def _enlarged(label_map: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a label map at a photo's (width, height): only which pixels are the person, with smooth outlines."""
    person = Image.fromarray(np.where(label_map != 0, 255, 0).astype(np.uint8))
    return np.asarray(person.resize(size, Image.Resampling.BICUBIC)) >= 128
