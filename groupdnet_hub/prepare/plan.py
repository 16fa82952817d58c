"""The plan of a preparation: the raw pictures that the settings name, how they are prepared, and what runs share."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from groupdnet_hub import LabelSet
from groupdnet_hub.data.unknown import with_ignored, written_labels
from groupdnet_hub.prepare.ccp import read_tags
from groupdnet_hub.prepare.config import (
    GPU_BATCH,
    Ade20kConfig,
    CcpConfig,
    CityscapesConfig,
    DeepFashionConfig,
    FolderConfig,
    PhotosConfig,
    PrepareConfig,
)
from groupdnet_hub.prepare.items import Recipe
from groupdnet_hub.prepare.labels import (
    CITYSCAPES,
    LABEL_SETS,
    PARSER_RULES,
    ade20k_label_set,
    missing_classes,
)
from groupdnet_hub.prepare.photos import PhotoRecipe, find_photos
from groupdnet_hub.prepare.sources import Found, find_ade20k, find_ccp, find_cityscapes, find_folder_pair
from groupdnet_hub.prepare.tags import check_tags, find_tags
from groupdnet_hub.prepare.work.summary import Preparation
from groupdnet_hub.runs.settings import existing_file, existing_folder

# Increased when the rules change the output for the same flags, which must not mix in one folder.
_RULES = 2


def find_items(settings: PrepareConfig) -> tuple[Found, Preparation]:
    """Return the pairs of the source that the settings name, and the recipe of their preparation.

    Raises:
        ValueError: if the input does not have the source's layout.
    """
    found: Found
    recipe: Preparation
    if isinstance(settings, PhotosConfig):
        found, recipe = _find_photos(settings)
    else:
        found, labels, raw_names = _find_pairs(settings)
        recipe = Recipe(
            settings.source,
            written_labels(labels),
            raw_names,
            ignored=labels.ignore,
            label_set=settings.label_set,
            resolution=settings.size,
            aspect=settings.aspect,
            cut_out=settings.cut_out,
            smooth=settings.smoothing,
            keep_gloves=settings.keep_gloves,
        )
    return found.limited(settings.max_items).framed(settings.frame), recipe


def on_device(recipe: Preparation, settings: PrepareConfig, device: str) -> Preparation:
    """Return a recipe whose parser, if it has one, works on a device."""
    if not isinstance(recipe, PhotoRecipe):
        return recipe
    on_cpu = device == "cpu"
    size = settings.parser_batch_size or (1 if on_cpu else GPU_BATCH)
    return replace(recipe, device=device, batch_size=size, threads=1 if on_cpu else max(1, settings.workers))


def _find_photos(settings: PhotosConfig) -> tuple[Found, PhotoRecipe]:
    labels = LABEL_SETS.get(settings.classes) or LabelSet.from_file(settings.classes)
    problems = [None if settings.labels is None else existing_file("--labels", settings.labels)]
    if settings.parser.startswith((".", "/", "~")):  # no Hub id
        problems.append(existing_folder("--parser", settings.parser))
    for problem in filter(None, problems):
        raise ValueError(problem)
    assert settings.size is not None, "photos have no label maps of a native size"
    recipe = PhotoRecipe(
        labels,
        settings.parser,
        settings.labels,
        settings.size,
        settings.aspect,
        settings.cut_out,
        settings.least_sureness,
        settings.smoothing,
        by_tags=settings.tags is not None,
    )
    tags = None
    if recipe.by_tags:
        tags = find_tags(settings.tags if isinstance(settings.tags, Path) else None, settings.input)
        check_tags(tags, labels)
    found = find_photos(
        settings.input,
        settings.output,
        tags=tags,
        split=settings.split,
        validation_fraction=settings.validation_share,
    )
    return found, recipe


def _find_pairs(settings: PrepareConfig) -> tuple[Found, LabelSet, tuple[str, ...]]:
    """Return the pairs, their label set, and the names of the raw data's classes, if it has any."""
    raw = settings.raw
    if isinstance(settings, CityscapesConfig):
        return find_cityscapes(raw, settings.split), CITYSCAPES, ()
    if isinstance(settings, Ade20kConfig):
        return find_ade20k(raw, settings.split), ade20k_label_set(raw), ()
    shared: dict[str, Any] = {"split": settings.split, "validation_fraction": settings.validation_share}
    if isinstance(settings, CcpConfig):
        found = find_ccp(raw, chosen=settings.photos == "fashion8", **shared)
        return found, LABEL_SETS[settings.classes], read_tags(raw / "label_list.mat")
    if isinstance(settings, DeepFashionConfig):
        labels = LABEL_SETS[settings.classes]
        found = find_folder_pair(raw, settings.labels, settings.output, same_garment=True, **shared)
        missing = missing_classes(labels, settings.label_set)
        if missing:
            found.remarks.append(
                f"{settings.label_set} maps cannot say {', '.join(missing)}: no picture has them"
            )
        return found, labels, tuple(PARSER_RULES[settings.label_set])
    assert isinstance(settings, FolderConfig)
    labels = with_ignored(LabelSet.from_file(settings.classes), settings.ignore_id)
    found = find_folder_pair(raw, settings.labels, settings.output, instances=settings.instances, **shared)
    return found, labels, ()


def conditions_of(settings: PrepareConfig) -> dict[str, Any]:
    """Return the values that must be equal for two runs that write to one folder."""
    names = ("source", "label_set", "cut_out", "keep_gloves", "validation_share", "parser")
    conditions: dict[str, Any] = {name: getattr(settings, name) for name in names}
    conditions["min_sureness"] = settings.least_sureness if isinstance(settings, PhotosConfig) else None
    conditions["resolution"] = None if settings.size is None else list(settings.size)
    conditions["frame"] = settings.frame[0] if len(settings.frame) == 1 else list(settings.frame)
    # Only where they differ from the values of all older folders, which are thus still resumed.
    classes = settings.classes if settings.classes in LABEL_SETS else "people8"
    tags = str(settings.tags.resolve()) if isinstance(settings.tags, Path) else settings.tags
    newer = {
        "aspect": (settings.aspect, 1.0),
        "smooth": (settings.smoothing, 0),
        "photos": (settings.photos, "all"),
        "classes": (classes, "people8"),
        "tags": (tags, None),
        "ignore_id": (json.loads(json.dumps(settings.ignore_id)), []),
    }
    for name, (value, before) in newer.items():
        if value != before:
            conditions[name] = value
    paths = {"input": settings.raw, "labels": settings.labels, "instances": settings.instances}
    for name, path in paths.items():
        conditions[name] = None if path is None else str(path.resolve())
    return {**conditions, "rules": _RULES}
