"""Raw data sets -> the folders that train.py reads: ``python train/prepare.py SOURCE --input RAW --output FOLDER``.

SOURCE is one of

- ``ccp``: Clothing Co-Parsing; ``--download`` fetches it (Apache-2.0);
- ``deepfashion``: DeepFashion In-shop and a human parser's label maps (LIP, CIHP or ATR ids);
- ``cityscapes``: leftImg8bit and gtFine, with instance maps;
- ``ade20k``: the scene parsing benchmark, ADEChallengeData2016;
- ``folder``: any folder of pictures and one of label maps;
- ``photos``: photos without label maps, which a parser labels; those where it is sure are kept, or with ``--tags``
  those whose tags it agrees with.

It writes OUTPUT/classes.json and, for each split, OUTPUT/SPLIT/ with images/, labels/, instances/ where there are any,
and metadata.jsonl. A run that was stopped goes on when it is started again with the same flags. Pairs that cannot be
read or do not fit are listed at the end, and the exit status is then 1; it is 2 where nothing could be started.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groupdnet_hub import LabelSet
from groupdnet_hub.prepare.ccp import read_tags
from groupdnet_hub.prepare.config import (
    Ade20kConfig,
    CcpConfig,
    CityscapesConfig,
    DeepFashionConfig,
    FolderConfig,
    PhotosConfig,
    PrepareConfig,
    parse_prepare_config,
)
from groupdnet_hub.prepare.download import CCP_LICENCE, download_ccp
from groupdnet_hub.prepare.items import Recipe
from groupdnet_hub.prepare.labels import (
    CITYSCAPES,
    LABEL_SETS,
    PARSER_RULES,
    ade20k_label_set,
    missing_classes,
)
from groupdnet_hub.prepare.photos import PhotoRecipe, find_photos
from groupdnet_hub.prepare.push import push, require_datasets
from groupdnet_hub.prepare.run import Preparation, Summary, prepare_all
from groupdnet_hub.prepare.sources import Found, find_ade20k, find_ccp, find_cityscapes, find_folder_pair
from groupdnet_hub.prepare.tags import check_tags, find_tags

# Raised when the rules change what is written for the same flags: folders of both must not mix.
_RULES = 2


def find_items(settings: PrepareConfig) -> tuple[Found, Preparation]:
    """The pairs of the source that the settings name, and how they are prepared.

    Raises:
        ValueError: if the input is not what the source needs.
    """
    found: Found
    recipe: Preparation
    if isinstance(settings, PhotosConfig):
        found, recipe = _find_photos(settings)
    else:
        found, labels, raw_names = _find_pairs(settings)
        recipe = Recipe(
            settings.source,
            labels,
            raw_names,
            label_set=settings.label_set,
            resolution=settings.size,
            aspect=settings.aspect,
            cut_out=settings.cut_out,
            smooth=settings.smoothing,
            keep_gloves=settings.keep_gloves,
        )
    return found.limited(settings.max_items).framed(settings.frame), recipe


def _find_photos(settings: PhotosConfig) -> tuple[Found, PhotoRecipe]:
    labels = LABEL_SETS.get(settings.classes) or LabelSet.from_file(settings.classes)
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
    share = settings.validation_share
    found = find_photos(
        settings.input, settings.output, tags=tags, split=settings.split, validation_share=share
    )
    return found, recipe


def _find_pairs(settings: PrepareConfig) -> tuple[Found, LabelSet, tuple[str, ...]]:
    """Pairs, their classes, and the names that classes have in the raw data, where it has any."""
    raw = settings.raw
    if isinstance(settings, CityscapesConfig):
        return find_cityscapes(raw, settings.split), CITYSCAPES, ()
    if isinstance(settings, Ade20kConfig):
        return find_ade20k(raw, settings.split), ade20k_label_set(raw), ()
    shared: dict[str, Any] = {"split": settings.split, "validation_share": settings.validation_share}
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
    labels = LabelSet.from_file(settings.classes)
    found = find_folder_pair(raw, settings.labels, settings.output, instances=settings.instances, **shared)
    return found, labels, ()


def conditions_of(settings: PrepareConfig) -> dict[str, Any]:
    """What must be equal for two runs to share a folder."""
    names = ("source", "label_set", "cut_out", "keep_gloves", "validation_share", "parser")
    conditions: dict[str, Any] = {name: getattr(settings, name) for name in names}
    conditions["min_sureness"] = settings.least_sureness if isinstance(settings, PhotosConfig) else None
    conditions["resolution"] = None if settings.size is None else list(settings.size)
    conditions["frame"] = settings.frame[0] if len(settings.frame) == 1 else list(settings.frame)
    # Only where they are not what every folder before them was made with: those are still taken up.
    classes = settings.classes if settings.classes in LABEL_SETS else "people8"
    tags = str(settings.tags.resolve()) if isinstance(settings.tags, Path) else settings.tags
    newer = {
        "aspect": (settings.aspect, 1.0),
        "smooth": (settings.smoothing, 0),
        "photos": (settings.photos, "all"),
        "classes": (classes, "people8"),
        "tags": (tags, None),
    }
    for name, (value, before) in newer.items():
        if value != before:
            conditions[name] = value
    paths = {"input": settings.raw, "labels": settings.labels, "instances": settings.instances}
    for name, path in paths.items():
        conditions[name] = None if path is None else str(path.resolve())
    return {**conditions, "rules": _RULES}


def run(settings: PrepareConfig) -> Summary:
    """Download if asked, prepare, and upload if asked.

    Raises:
        ValueError, OSError: if the run cannot be started or cannot go on.
    """
    if settings.push_to_hub:
        require_datasets()  # before an hour of work
    if isinstance(settings, CcpConfig) and settings.download:
        print(CCP_LICENCE)
        download_ccp(settings.raw)
        print(f"Clothing Co-Parsing is in {settings.raw}")
    found, recipe = find_items(settings)
    summary = prepare_all(
        found, recipe, conditions_of(settings), settings.output, num_workers=settings.num_workers
    )
    print("\n".join(summary.lines()), flush=True)
    if settings.push_to_hub and summary.prepared:
        print(f"uploaded to {push(settings.output, settings.push_to_hub, private=settings.hub_private)}")
    return summary


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    settings = parse_prepare_config(argv, description=__doc__ or "")
    try:
        summary = run(settings)
    except (ValueError, OSError) as error:
        print(f"prepare.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("prepare.py: stopped; the same line resumes from here", file=sys.stderr)
        return 130
    return 1 if summary.problems or not summary.prepared else 0


if __name__ == "__main__":
    sys.exit(main())
