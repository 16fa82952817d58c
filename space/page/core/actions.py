"""What each action of a visitor makes of the session, with the model: pure functions, no page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from groupdnet_hub import GroupDNetConfig, GroupDNetPipeline, LabelSet, Look
from groupdnet_hub.data.label_maps import NoIdsError, read_label_map, read_partial_label_map
from groupdnet_hub.data.unknown import describe_unknown

from .regions import keep_other_pixels
from .session import Session, current, mixable, show

LabelMap = str | os.PathLike[str] | np.ndarray
# How far a morph may go beyond its two looks.
MORPH_SPAN = (-0.5, 1.5)
_IF_UNKNOWN = (
    "If such pixels are unknown, paint them as the class that is to be drawn there, or start the page with "
    "GROUPDNET_IGNORE_ID"
)
# A map of more values than this fraction that are no ids is one of other classes.
_MOST_UNKNOWN = 0.5


def open_map(
    pipeline: GroupDNetPipeline,
    session: Session,
    label_map: LabelMap,
    seed: int,
    same_appearance: bool = False,
) -> Session:
    """Show another label map.

    Args:
        pipeline: the model.
        session: the visitor's.
        label_map: the map.
        seed: of the classes that are drawn anew: those that are not locked, or not on the map before.
        same_appearance: only classes that were not on the map before are drawn anew.

    Raises:
        ValueError: if it cannot be read as a label map of the model's classes.
    """
    label, look = read_map(pipeline, label_map), session.look
    if look is None:
        return show(session, _sampled(pipeline, label, seed))
    instance = instances_of(pipeline, label)
    if same_appearance:
        return show(session, pipeline.edit(look, label, seed=seed, instance=instance))
    kept = kept_by_locks(session, pipeline.labels, label)
    if not kept:
        return show(session, _sampled(pipeline, label, seed))
    sources: dict[str | int, Look] = dict.fromkeys(kept, _own(pipeline, look))
    return show(session, pipeline.mix(label, sources, seed=seed, instance=instance))


def kept_by_locks(session: Session, labels: LabelSet, label: np.ndarray) -> tuple[str, ...]:
    """Return the locked classes that stay as they are on another label map, int [H, W]: those of both maps."""
    here = current(session).classes
    return tuple(name for name in session.locked if name in here and (label == labels.id_of(name)).any())


def draw_maps(pipeline: GroupDNetPipeline, wanted: Sequence[tuple[LabelMap, int]]) -> list[Look]:
    """Return a look for each label map and its seed."""
    return [_sampled(pipeline, label_map, seed) for label_map, seed in wanted]


def sample(pipeline: GroupDNetPipeline, session: Session, seed: int) -> Session:
    """Draw every class that is not locked anew on the same label map."""
    return show(session, sampled(pipeline, session, seed))


def sampled(pipeline: GroupDNetPipeline, session: Session, seed: int) -> Look:
    """Return the look that :func:`sample` shows."""
    look = _own(pipeline, current(session))
    if not session.locked:
        return pipeline.sample(look.mask, seed, instance=look.instance)
    free = [name for name in pipeline.labels.names if name not in session.locked]
    return pipeline.reroll(look, free, seed)


def redrawable(config: GroupDNetConfig, session: Session, class_: str | int) -> str:
    """Return the name of a class that a model of this configuration can redraw now.

    Raises:
        ValueError: for a class that is unknown, not on the label map, or locked.
    """
    look = current(session)
    look.check_fits(config)
    labels = look.codes.labels
    name = labels.names[labels.id_of(class_)]
    if name not in look.classes:
        raise ValueError(f"{name} is not on this label map; it holds {', '.join(look.classes)}.")
    if name in session.locked:
        raise ValueError(f"{name} is locked: unlock it to redraw it.")
    return name


def reroll(
    pipeline: GroupDNetPipeline, session: Session, class_: str | int, seed: int, keep_pixels: bool = False
) -> Session:
    """Draw one class anew; every other class keeps its code.

    Args:
        pipeline: the model.
        session: with the picture that changes.
        class_: name or id of the class.
        seed: 0 to ``MAX_SEED``.
        keep_pixels: outside of the class, the picture keeps its pixels too.

    Raises:
        ValueError: if the class is not on the label map, or locked.
    """
    name = redrawable(pipeline.model.config, session, class_)
    return show(session, redrawn(pipeline, current(session), name, seed, keep_pixels))


def redrawn(pipeline: GroupDNetPipeline, look: Look, name: str, seed: int, keep_pixels: bool) -> Look:
    """Return a look with one class drawn anew; ``keep_pixels`` as in :func:`reroll`."""
    drawn = pipeline.reroll(look, name, seed)
    return with_other_pixels(look, drawn, name) if keep_pixels else drawn


def with_other_pixels(before: Look, after: Look, name: str) -> Look:
    """Return ``after`` with the pixels of ``before`` outside of a class."""
    region = before.mask == before.codes.labels.id_of(name)
    return replace(after, image=keep_other_pixels(before.image, after.image, region))


def edit(pipeline: GroupDNetPipeline, session: Session, label_map: LabelMap) -> Session:
    """Draw the same appearance on a changed label map (semantic manipulation)."""
    label = read_map(pipeline, label_map)
    return show(session, pipeline.edit(current(session), label, instance=instances_of(pipeline, label)))


def mix(pipeline: GroupDNetPipeline, session: Session, base: str, sources: Mapping[str, str]) -> Session:
    """Draw the look ``base``, on its label map, with the appearance of some classes taken from other looks.

    Args:
        pipeline: the model.
        session: with the looks.
        base: a name of ``session.names``.
        sources: class name to name of a look; several looks may be mixed at once.

    Raises:
        ValueError: for an unknown class or look, a class that is not on both label maps, and if nothing is taken.
    """
    look = _own(pipeline, session.named(base))
    taken: dict[str | int, Look] = {}
    for class_, name in sources.items():
        class_name = pipeline.labels.names[pipeline.labels.id_of(class_)]
        other = _own(pipeline, session.named(name))
        shared = mixable(look, other)
        if class_name not in shared:
            raise ValueError(
                f"{class_name} is not on the label maps of both {base} and {name}; they share {', '.join(shared)}."
            )
        if name != base:
            taken[class_name] = other
    if not taken:
        raise ValueError(
            f"nothing is taken from another look than {base}: choose one for at least one class."
        )
    return show(session, pipeline.mix(look.mask, taken, base=look, instance=look.instance))


def between(
    pipeline: GroupDNetPipeline,
    session: Session,
    first: str,
    second: str,
    t: float,
    classes: Sequence[str] | None = None,
) -> Look:
    """Return the look at ``t`` of the way from one look (0) to another (1), on the first one's label map.

    Args:
        pipeline: the model.
        session: with the looks.
        first: a name of ``session.names``.
        second: another one, or the same.
        t: within ``MORPH_SPAN``.
        classes: those that change; all by default.

    Raises:
        ValueError: for an unknown look or class, no class at all, and a ``t`` outside.
    """
    start, end = MORPH_SPAN
    if t is None or not start <= t <= end:
        raise ValueError(f"the position must be from {start} to {end}.")
    if classes is not None and not classes:
        raise ValueError("choose at least one class that changes.")
    return pipeline.between(session.named(first), session.named(second), float(t), classes)


def morph(
    pipeline: GroupDNetPipeline,
    session: Session,
    first: str,
    second: str,
    t: float,
    classes: Sequence[str] | None = None,
) -> Session:
    """Show :func:`between` as the picture on the page."""
    return show(session, between(pipeline, session, first, second, t, classes))


def morph_frames(
    pipeline: GroupDNetPipeline,
    session: Session,
    first: str,
    second: str,
    positions: Sequence[float],
    classes: Sequence[str] | None = None,
) -> list[Image.Image]:
    """Return pictures at several positions of a morph, for a film."""
    return [between(pipeline, session, first, second, t, classes).image for t in positions]


def read_map(pipeline: GroupDNetPipeline, label_map: LabelMap) -> np.ndarray:
    """Return a label map at the model's size, int64 [H, W]."""
    return read_label_map(label_map, pipeline.labels, size=pipeline.model.config.image_size, resize=True)


def read_upload(
    label_map: str | os.PathLike[str], labels: LabelSet, size: tuple[int, int]
) -> tuple[np.ndarray, str]:
    """Read a label map that a visitor brought.

    Args:
        label_map: its file.
        labels: the model's classes.
        size: (height, width) of the model's pictures.

    Returns:
        (int64 [H, W], a sentence on its unknown pixels after a space, or nothing if it has none).

    Raises:
        ValueError: if it cannot be read as a label map of these classes. Where some of its values are no ids, the
            message says what a visitor can do if they mean "unknown".
    """
    try:
        label, unknown = read_partial_label_map(label_map, labels, size=size, resize=True)
    except NoIdsError as error:
        if error.fraction > _MOST_UNKNOWN:
            raise ValueError(error.fault) from None
        raise ValueError(f"{error.fault}. {_IF_UNKNOWN}") from None
    return label, unknown_sentence(label, unknown, labels)


def unknown_sentence(label: np.ndarray, unknown: np.ndarray, labels: LabelSet) -> str:
    """Return a sentence on the unknown pixels of a label map after a space; nothing if it has none."""
    described = describe_unknown(label, unknown, labels)
    return f" {described[:1].upper()}{described[1:]}." if described else ""


def instances_of(pipeline: GroupDNetPipeline, label: np.ndarray) -> np.ndarray | None:
    """Return what takes the place of an instance map for a model that draws instance edges; None for other models.

    A painted map knows no instances: the edges lie where classes meet, and things of one class that touch are one.
    """
    return label if pipeline.model.config.instance_edges else None


def _sampled(pipeline: GroupDNetPipeline, label_map: LabelMap, seed: int) -> Look:
    label = read_map(pipeline, label_map)
    return pipeline.sample(label, seed, instance=instances_of(pipeline, label))


def _own(pipeline: GroupDNetPipeline, look: Look) -> Look:
    """Return the look, unless another model made it: its label map would be read as one of this model's classes."""
    look.check_fits(pipeline.model.config)
    return look
