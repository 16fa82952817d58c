"""Results as people read them: a row as in the paper's tables, and a table of classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from groupdnet_hub.data.unknown import percent_unknown
from groupdnet_hub.evaluation.feature_distances import small_sample_note
from groupdnet_hub.evaluation.sampled.report import distance_text, sampled_rows
from groupdnet_hub.metrics.estimates import NONE, estimate_text, number_text

# The readings of mCSD and mOCD, and suffixes of their columns' titles.
_READINGS = (("image_mean", ""), ("region_mean", ", region mean"), ("masked", ", masked pictures"))


def report(name: str, results: Mapping[str, Any], unknown: Mapping[str, Any] | None = None) -> str:
    """Return Markdown: the row of Tables 1 and 2, then the classes.

    Args:
        name: name of the model.
        results: results of the finished parts: ``classes``, ``lpips``, ``fid``, ``frechet``, ``segmentation``, ``fps``,
            ``macs``, ``params``, and those of ``SAMPLED_METRICS``.
        unknown: unknown pixels of the label maps, as :func:`unknown_text` takes them.
    """
    return f"{comparison({name: results})}\n{_class_table(results)}{unknown_text(unknown)}"


def unknown_text(unknown: Mapping[str, Any] | None) -> str:
    """Return a paragraph of Markdown on what was left out of all metrics; empty where nothing was.

    Args:
        unknown: ``unknown_pixels`` of a results file, the fields of
            :class:`groupdnet_hub.evaluation.inputs.UnknownPixels`; None for label maps that have none by definition.
    """
    if unknown is None:
        return ""
    stands = ", ".join(map(str, unknown["ignore"]))
    share = f"{percent_unknown(unknown['fraction'])} of the pixels"
    if not unknown["maps"] and not unknown["left_out"]:
        return f"\nNo pixel of the label maps is unknown (holds {stands}).\n"
    maps = f"{unknown['maps']} label map{'s have' if unknown['maps'] != 1 else ' has'} unknown pixels"
    text = f"\n{share} were left out: {maps} ({stands})."
    if unknown["left_out"]:
        text += f" {unknown['left_out']} without a known pixel were left out as a whole."
    return text + "\n"


def comparison(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return Markdown: a row for each model; then a row for each metric of several pictures, beside that of photos.

    The cell of a metric that a model lacks is empty.

    Args:
        results: results of the finished parts by model name.
    """
    columns = {name: dict(_columns(name, found)) for name, found in results.items()}
    titles = list(dict.fromkeys(title for row in columns.values() for title in row))
    table = _table(titles, [[row.get(title, NONE) for title in titles] for row in columns.values()])
    beside = {name: sampled_rows(found) for name, found in results.items()}
    measures = list(dict.fromkeys(title for rows in beside.values() for title in rows))
    table += _small_sample_text(results.values())
    if not measures:
        return table
    lines = []
    for title in measures:
        cells = [rows.get(title) for rows in beside.values()]
        photos = next(cell.photos for cell in cells if cell)
        lines.append([title, photos, *(cell.value if cell else NONE for cell in cells)])
    return f"{table}\n{_table(['Measure', 'Photos', *results], lines)}"


def _columns(name: str, results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return title and value of each column of a model's row."""
    classes: Any = results.get("classes")
    lpips, segmentation = results.get("lpips"), results.get("segmentation")
    columns = [("Model", name)]
    for part in ("fid", "frechet"):
        if part in results:
            columns += _feature_columns(results[part])
    for reading, added in _READINGS if classes else ():
        for key, title, arrow in (("mcsd", "mCSD", "↑"), ("mocd", "mOCD", "↓")):
            columns.append((f"{title}{added} {arrow}", estimate_text(classes[reading][key], 4)))
    if lpips:
        columns.append(("LPIPS ↑", estimate_text(lpips["lpips"], 3)))
    if segmentation:
        columns.append(("mIoU ↑", estimate_text(segmentation["miou"], 1, 100)))
        columns.append(("Accuracy ↑", estimate_text(segmentation["pixel_accuracy"], 1, 100)))
        if "photos" in segmentation:
            columns.append(("mIoU of the photos", estimate_text(segmentation["photos"]["miou"], 1, 100)))
    if "fps" in results:
        columns.append(("FPS ↑", number_text(results["fps"]["fps"], 1)))
    if "macs" in results:
        columns.append(("MACs (G) ↓", number_text(results["macs"], 1, 1e-9)))
    if "params" in results:
        columns.append(("# Para (M) ↓", number_text(results["params"], 1, 1e-6)))
    return columns


def _feature_columns(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the columns of a Frechet distance and of KID beside it; n is in their titles, as it must be the same."""
    columns = [(f"{found['name']}, n = {found['images']:,} ↓", number_text(found["value"], 2))]
    kid = found.get("kid")  # results of earlier versions have none
    if kid:
        columns.append((f"{kid['name']}, n = {kid['images']:,} ↓", distance_text(kid)))
    return columns


def _small_sample_text(results: Iterable[Mapping[str, Any]]) -> str:
    """Return a paragraph on Frechet distances of few pictures; empty where there are none."""
    counts = [found[part]["images"] for found in results for part in ("fid", "frechet") if part in found]
    note = small_sample_note(min(counts)) if counts else None
    return "" if note is None else f"\n{note[0].upper()}{note[1:]}.\n"


def _class_table(results: Mapping[str, Any]) -> str:
    classes, segmentation = results.get("classes"), results.get("segmentation")
    names = list(classes["shown_in"] if classes else segmentation["iou"] if segmentation else ())
    columns: list[tuple[str, Callable[[str], str]]] = [("Class", str)]
    if classes:
        columns.append(("on label maps", lambda name: f"{classes['shown_in'][name]} of {classes['images']}"))
        for reading, added in _READINGS:
            for key, title, arrow in (("csd", "CSD", "↑"), ("ocd", "OCD", "↓")):
                columns.append((f"{title}{added} {arrow}", partial(_class_value, classes[reading][key])))
    if segmentation:
        columns.append(("IoU ↑", lambda name: estimate_text(segmentation["iou"][name], 1, 100)))
    if len(columns) == 1:
        return ""
    return _table([title for title, _ in columns], [[cell(name) for _, cell in columns] for name in names])


def _class_value(estimates: Mapping[str, Any], name: str) -> str:
    return estimate_text(estimates[name], 4)


def _table(titles: list[str], rows: list[list[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)
