"""The folder of generated pictures: its files, missing ones, settings, manifest and upload."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import HfApi
from PIL import Image
from torch import Tensor

from groupdnet_hub import AppearanceCodes, GroupDNet, LabelSet
from groupdnet_hub.data.labels import label_picture
from groupdnet_hub.io.atomic import atomic_write
from groupdnet_hub.io.strict_json import json_line, read_json
from groupdnet_hub.runs.provenance import refuse_other_settings
from groupdnet_hub.training.reports.preview import save_picture

_SETTINGS_FILE = "generate.json"
_FOLDERS = ("images", "labels", "instances", "codes")


class GeneratedFolder:
    """``OUT/classes.json`` and ``OUT/SPLIT``: ``images/``, ``labels/``, ``metadata.jsonl`` and ``generate.json``.

    All files are written atomically. Codes are files of one picture each, written before the picture, so that every
    picture has its codes, whichever process drew its neighbours.

    Args:
        root: folder of the data set.
        split: name of the split.
        instances, codes: whether the split also has ``instances/`` and ``codes/``.
    """

    def __init__(
        self, root: str | os.PathLike[str], split: str, *, instances: bool = False, codes: bool = False
    ) -> None:
        self.root, self.split = Path(root), Path(root) / split
        self.has_instances, self.has_codes = instances, codes

    # -- names -----------------------------------------------------------------------------------------------

    def map_files(self, map_index: int) -> dict[str, str]:
        """Return the files of one label map by metadata column, relative to the split."""
        name = f"{map_index:06d}.png"
        files = {"label_file_name": f"labels/{name}"}
        if self.has_instances:
            files["instance_file_name"] = f"instances/{name}"
        return files

    def picture_files(self, map_index: int, number: int) -> dict[str, str]:
        """Return the files of one picture by metadata column, relative to the split."""
        name = f"{map_index:06d}_{number:06d}"
        files = {"file_name": f"images/{name}.png"}
        if self.has_codes:
            # Not "codes_file_name": datasets opens columns with such a name as pictures.
            files["codes"] = f"codes/{name}.safetensors"
        return files

    # -- starting and resuming -------------------------------------------------------------------------------

    def check(self, settings: Mapping[str, Any], labels: LabelSet) -> None:
        """Refuse a folder that a run with these settings cannot resume; nothing is written.

        Args:
            settings: settings of the run.
            labels: label set of the model.

        Raises:
            ValueError: for a folder with other settings or classes, or with other files.
        """
        classes = self.root / "classes.json"
        if classes.exists():
            there = LabelSet.from_file(classes)
            if (there.names, there.palette) != (labels.names, labels.palette):
                raise ValueError(
                    f"{classes} holds other classes than the model's: choose another --output_dir"
                )
            if there.ignore:
                raise ValueError(
                    f"{classes} ignores {', '.join(map(str, there.ignore))}, and generated label maps have no unknown "
                    "pixels: choose another --output_dir"
                )
        listing = self.split / _SETTINGS_FILE
        if not listing.exists():
            if self.split.exists() and any(not p.name.startswith(".") for p in self.split.iterdir()):
                raise ValueError(
                    f"{self.split} holds files that generate.py did not write (it has no {_SETTINGS_FILE}): choose "
                    "another --output_dir or --split"
                )
            return
        try:
            before = dict(read_json(listing, _SETTINGS_FILE)["settings"])
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{listing} cannot be read: remove {self.split} and start again") from None
        refuse_other_settings(before, settings, self.split, "choose another --output_dir or --split")

    def begin(self, settings: Mapping[str, Any], sources: Mapping[str, str], labels: LabelSet) -> None:
        """Create the folders, record the settings, and remove half-written files of a killed run.

        Args:
            settings: settings of the run.
            sources: names of the model and the folders for readers, which are not compared.
            labels: label set of the model.
        """
        used = [True, True, self.has_instances, self.has_codes]
        for name, wanted in zip(_FOLDERS, used, strict=True):
            if wanted:
                (self.split / name).mkdir(parents=True, exist_ok=True)
        for leftover in self.split.glob("**/.*.partial"):
            leftover.unlink()
        if not (self.root / "classes.json").exists():
            replace(labels, ignore=()).to_file(self.root / "classes.json")  # the maps hold what was drawn
        if not (self.split / _SETTINGS_FILE).exists():
            record = {**sources, "settings": settings}
            _write_text(self.split / _SETTINGS_FILE, json.dumps(record, indent=2, ensure_ascii=False) + "\n")

    def missing(self, maps: int, num_per_map: int) -> set[tuple[int, int]]:
        """Return (map, number) of the missing pictures, and of those without their label map or codes."""
        there = {
            f"{name}/{file}"
            for name in _FOLDERS
            if (self.split / name).is_dir()
            for file in os.listdir(self.split / name)
        }
        absent = set()
        for map_index in range(maps):
            if not there.issuperset(self.map_files(map_index).values()):
                absent.add((map_index, 0))  # the label map is written with the first picture
            for number in range(num_per_map):
                if not there.issuperset(self.picture_files(map_index, number).values()):
                    absent.add((map_index, number))
        return absent

    # -- writing ---------------------------------------------------------------------------------------------

    def write_map(self, map_index: int, label: Tensor, instance: Tensor | None, labels: LabelSet) -> None:
        """Write a label map int64 [H, W], and its instance map."""
        files = self.map_files(map_index)
        save_picture(label_picture(label, labels), self.split / files["label_file_name"])
        if instance is not None:
            picture = Image.fromarray(instance.numpy().astype(np.uint16))
            save_picture(picture, self.split / files["instance_file_name"])

    def write_picture(
        self, map_index: int, number: int, picture: Image.Image, codes: AppearanceCodes
    ) -> None:
        """Write a picture, after its codes."""
        files = self.picture_files(map_index, number)
        if self.has_codes:
            codes.save(self.split / files["codes"])
        save_picture(picture, self.split / files["file_name"])

    def write_manifest(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Write ``metadata.jsonl``, atomically."""
        _write_text(self.split / "metadata.jsonl", "".join(map(json_line, lines)))

    # -- the Hub ---------------------------------------------------------------------------------------------

    def upload(self, repo_id: str, model: GroupDNet, model_name: str, *, private: bool = False) -> str:
        """Upload the folder as a data set, with a card; an existing card stays.

        Args:
            repo_id: ``user/name``.
            model: model that drew the pictures.
            model_name: its name.
            private: whether to make the repository private.

        Returns:
            URL of the commit.

        Raises:
            ValueError: if the upload fails.
        """
        card = self.root / "README.md"
        if not card.exists():
            _write_text(card, data_card(repo_id, model, model_name))
        api = HfApi()
        try:
            api.create_repo(repo_id, repo_type="dataset", private=private or None, exist_ok=True)
            done = api.upload_folder(
                repo_id=repo_id,
                repo_type="dataset",
                folder_path=self.root,
                ignore_patterns=["*.partial", "*.lock"],
                commit_message="Pictures drawn by GroupDNet",
            )
        except Exception as error:  # whatever network library the Hub's client uses
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(
                f"{self.root} is finished but was not uploaded to {repo_id} ({reason}): run the same command again, it "
                "will only upload"
            ) from None
        return str(done.commit_url)


def data_card(repo_id: str, model: GroupDNet, model_name: str) -> str:
    """Return the text of a ``README.md`` that describes the data set and how to load it."""
    height, width = model.config.image_size
    license_name, note = model.card_facts.get("license"), model.card_facts.get("license_note")
    front = ["---", "tags:", "- synthetic", "- groupdnet"]
    if license_name:
        front.append(f"license: {json.dumps(license_name, ensure_ascii=False)}")
    lines = [
        *front,
        "---",
        "",
        f"# {repo_id.rsplit('/', 1)[-1]}",
        "",
        f"Synthetic pictures ({height} x {width} pixels, height x width) with their label maps, drawn by the GroupDNet "
        f"`{model_name}`. `classes.json` names the classes. Each line of `metadata.jsonl` holds the seed that a "
        "picture was drawn with.",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        f"pictures = load_dataset({json.dumps(repo_id)})",
        "```",
    ]
    if note:
        lines += ["", f"Licence of the model: {note}"]
    return "\n".join(lines) + "\n"


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")
