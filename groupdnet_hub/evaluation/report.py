"""The figures as people read them: a row as the paper's tables print it, and a table by class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from groupdnet_hub.evaluation.report_figures import NONE, estimate_text, figure_text
from groupdnet_hub.evaluation.sampled.report import sampled_rows

# The readings of mCSD and mOCD, and what their columns are called.
_READINGS = (("image_mean", ""), ("region_mean", ", region mean"), ("masked", ", masked pictures"))


def report(name: str, results: Mapping[str, Any]) -> str:
    """Markdown: the row of Tables 1 and 2, then the classes.

    Args:
        name: of the model.
        results: of the parts that are done: ``classes``, ``lpips``, ``fid``, ``frechet``, ``segmentation``, ``fps``,
            ``macs``, ``params``, and those of sampled_arguments.py.
    """
    return f"{comparison({name: results})}\n{_class_table(results)}"


def comparison(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: a row for each model; then a row for each figure of several pictures, beside its value for photos.

    A figure that a model lacks is left open.
    """
    columns = {name: dict(_columns(name, found)) for name, found in results.items()}
    titles = list(dict.fromkeys(title for row in columns.values() for title in row))
    table = _table(titles, [[row.get(title, NONE) for title in titles] for row in columns.values()])
    beside = {name: sampled_rows(found) for name, found in results.items()}
    measures = list(dict.fromkeys(title for rows in beside.values() for title in rows))
    if not measures:
        return table
    lines = []
    for title in measures:
        cells = [rows.get(title) for rows in beside.values()]
        photos = next(cell.photos for cell in cells if cell)
        lines.append([title, photos, *(cell.value if cell else NONE for cell in cells)])
    return f"{table}\n{_table(['Measure', 'Photos', *results], lines)}"


def _columns(name: str, results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Title and figure of each column of a model's row."""
    classes, lpips, segmentation = (results.get(part) for part in ("classes", "lpips", "segmentation"))
    columns = [("Model", name)]
    for part in ("fid", "frechet"):
        if part in results:
            columns.append((f"{results[part]['name']} ↓", figure_text(results[part]["value"], 2)))
    if classes:
        for reading, added in _READINGS:
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
        columns.append(("FPS ↑", figure_text(results["fps"]["fps"], 1)))
    if "macs" in results:
        columns.append(("MACs (G) ↓", figure_text(results["macs"], 1, 1e-9)))
    if "params" in results:
        columns.append(("# Para (M) ↓", figure_text(results["params"], 1, 1e-6)))
    return columns


def _estimates(of_classes: Mapping[str, Any], digits: int, scale: float = 1.0) -> Callable[[str], str]:
    return lambda name: estimate_text(of_classes[name], digits, scale)


def _class_table(results: Mapping[str, Any]) -> str:
    classes, segmentation = results.get("classes"), results.get("segmentation")
    names = list(classes["shown_in"] if classes else segmentation["iou"] if segmentation else ())
    columns: list[tuple[str, Callable[[str], str]]] = [("Class", str)]
    if classes:
        columns.append(("on label maps", lambda name: f"{classes['shown_in'][name]} of {classes['images']}"))
        for reading, added in _READINGS:
            for key, title, arrow in (("csd", "CSD", "↑"), ("ocd", "OCD", "↓")):
                columns.append((f"{title}{added} {arrow}", _estimates(classes[reading][key], 4)))
    if segmentation:
        columns.append(("IoU ↑", _estimates(segmentation["iou"], 1, 100)))
    if len(columns) == 1:
        return ""
    return _table([title for title, _ in columns], [[cell(name) for _, cell in columns] for name in names])


def _table(titles: list[str], rows: list[list[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)
