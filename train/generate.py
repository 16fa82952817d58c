"""Draw N pictures for each label map: ``accelerate launch train/generate.py --model ID --label_dir FOLDER ...``.

Guarantees: the codes of a picture depend on ``--seed``, the index of its label map and its own number alone. A batch
holds pictures of one label map, the same ones in every run with the same settings, so that on devices of one kind the
pictures depend neither on the number of processes nor on where a run was stopped. ``--batch_size`` has no effect on
codes, but may change a picture by rounding (a grey level here and there); it is one of the recorded settings. The
number of threads would do the same: on a CPU each process has one, so start a process for each core.

All processes must see ``--output_dir``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor
from tqdm.auto import tqdm

from groupdnet_hub import AppearanceCodes, GroupDNet
from groupdnet_hub.data.unknown import percent_unknown
from groupdnet_hub.generation.codes import choose_photos, draw_codes
from groupdnet_hub.generation.config import GenerateConfig, parse_generate_config
from groupdnet_hub.generation.folder import GeneratedFolder
from groupdnet_hub.generation.inputs import Gallery, LabelMaps
from groupdnet_hub.io.atomic import writing_to
from groupdnet_hub.io.images import tensor_to_picture
from groupdnet_hub.runs.provenance import digest, model_digest
from groupdnet_hub.runs.scripts import run_command
from groupdnet_hub.runs.sharding import picture_seed, read_sharded, shard, sole_run, start_accelerator

# Threads that write: compressing PNG files takes longer than drawing on a GPU.
_WRITERS = 4


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line to the finished folder."""
    settings = parse_generate_config(argv)
    accelerator = start_accelerator(settings.mixed_precision)
    model = GroupDNet.from_pretrained(settings.model, device=accelerator.device).requires_grad_(False)
    Generation(settings, accelerator, model).run()
    accelerator.end_training()


class Generation:
    """The pictures of one run, on one of its processes.

    Attributes:
        present: ids of the classes on each label map.
        unknown: number of unknown pixels of each label map, at the model's size.
    """

    def __init__(self, settings: GenerateConfig, accelerator: Accelerator, model: GroupDNet) -> None:
        self.settings, self.accelerator, self.model = settings, accelerator, model
        self.maps = LabelMaps(settings.label_dir, model, settings.ignore_id)
        found = read_sharded(
            len(self.maps.names),
            lambda index: self.maps.describe(index, len(model.labels)),
            accelerator,
            "reading label maps",
        )
        self.present: list[list[int]] = [classes for _, classes, _ in found]
        self.unknown: list[int] = [unknown for *_, unknown in found]
        self.gallery = None
        if settings.gallery_dir is not None:
            self.gallery = Gallery(
                settings.gallery_dir,
                model,
                accelerator,
                settings.classes_from_gallery,
                settings.ignore_id,
            )
        # What the pictures depend on: contents, not paths, so that a folder may be moved but not changed.
        self.conditions: dict[str, Any] = {
            "format": 1,
            "seed": settings.seed,
            "num_per_map": settings.num_per_map,
            "batch_size": settings.batch_size,
            "mixed_precision": settings.mixed_precision,
            "save_codes": settings.save_codes,
            "classes_from_gallery": self.gallery and [model.labels.names[i] for i in self.gallery.photos],
            "model": model_digest(model, model.config.to_json()),
            "label_maps": digest(*(one for one, *_ in found)),
            "gallery": self.gallery and self.gallery.digest,
        }
        self.folder = GeneratedFolder(
            settings.output_dir,
            settings.split,
            instances=model.config.instance_edges,
            codes=settings.save_codes,
        )

    def run(self) -> None:
        """Draw the missing pictures, then write the manifest and upload."""
        split = self.folder.split
        self._check()  # before anything is written
        with (
            sole_run(self.accelerator, split, "generate", "choose another --output_dir or --split"),
            writing_to(split),
        ):
            self._check()  # another run may have ended meanwhile
            self._fill()

    def _check(self) -> None:
        self.folder.check(self.conditions, self.model.labels)
        self.accelerator.wait_for_everyone()  # all have checked before anything is written

    def _fill(self) -> None:
        settings, accelerator, folder = self.settings, self.accelerator, self.folder
        jobs: list[Any] = [None]
        if accelerator.is_main_process:
            self._tell_unknown()
            folder.begin(self.conditions, self._sources(), self.model.labels)
            jobs = [self._jobs()]
        broadcast_object_list(jobs)
        drawn, started = sum(len(missing) for *_, missing in jobs[0]), time.monotonic()
        self._draw([jobs[0][i] for i in shard(len(jobs[0]), accelerator)])
        accelerator.wait_for_everyone()
        seconds = time.monotonic() - started
        if accelerator.is_main_process:
            self._finish()
            total = len(self.maps.names) * settings.num_per_map
            accelerator.print(
                f"drew {drawn} of {total} pictures in {seconds:.1f} s ({drawn / seconds:.1f} pictures/s, "
                f"{accelerator.num_processes} process{'es' if accelerator.num_processes > 1 else ''}); they are in "
                f"{folder.split}"
            )
            if settings.push_to_hub:
                url = folder.upload(
                    settings.push_to_hub, self.model, Path(settings.model).name, private=settings.hub_private
                )
                accelerator.print(f"uploaded to {url}")
        accelerator.wait_for_everyone()

    def _tell_unknown(self) -> None:
        maps, labels = sum(count > 0 for count in self.unknown), self.maps.labels
        if not maps:
            return
        height, width = self.maps.size
        share = percent_unknown(sum(self.unknown) / (len(self.unknown) * height * width))
        drawn = "the nearest class" if labels.dont_care is None else labels.names[labels.dont_care]
        self.accelerator.print(
            f"{maps} of {len(self.unknown)} label maps have unknown pixels ({share} of all pixels): they are drawn as "
            f"{drawn}, also in the written maps"
        )

    def _sources(self) -> dict[str, str]:
        settings = self.settings
        given = {
            "model": settings.model,
            "label_dir": settings.label_dir,
            "gallery_dir": settings.gallery_dir,
        }
        return {name: Path(value).name for name, value in given.items() if value is not None}

    def _jobs(self) -> list[tuple[int, int, list[int]]]:
        """Return (map, first number, missing numbers) of every batch that lacks a picture."""
        missing = self.folder.missing(len(self.maps.names), self.settings.num_per_map)
        jobs = []
        for map_index in range(len(self.maps.names)):
            for first in range(0, self.settings.num_per_map, self.settings.batch_size):
                wanted = [number for number in self._batch(first) if (map_index, number) in missing]
                if wanted:
                    jobs.append((map_index, first, wanted))
        return jobs

    def _batch(self, first: int) -> range:
        return range(first, min(first + self.settings.batch_size, self.settings.num_per_map))

    @torch.inference_mode()
    def _draw(self, jobs: Sequence[tuple[int, int, list[int]]]) -> None:
        """Draw batches, complete even if only one picture is missing, because rounding depends on the batch."""
        accelerator, model, folder = self.accelerator, self.model, self.folder
        current = -1
        bar = tqdm(
            total=sum(len(wanted) for *_, wanted in jobs),
            desc="drawing" if accelerator.num_processes == 1 else "drawing the first process's shard",
            unit="picture",
            disable=not accelerator.is_main_process,
        )
        with ThreadPoolExecutor(_WRITERS) as writers, accelerator.autocast():
            for map_index, first, wanted in jobs:
                if map_index != current:
                    label, instance = self.maps.read(map_index)
                    prepared = model.prepare(label[None], None if instance is None else instance[None])
                    current = map_index
                if first == 0:
                    folder.write_map(map_index, label, instance, model.labels)
                codes = {number: self._codes(map_index, number) for number in self._batch(first)}
                batch = torch.stack([one.tensor for one in codes.values()]).to(accelerator.device)
                images = dict(zip(codes, model.decode(batch, prepared).float().cpu(), strict=True))

                write = partial(self._write, map_index, images, codes)
                list(writers.map(write, wanted))
                bar.update(len(wanted))
        bar.close()

    def _write(
        self, map_index: int, images: dict[int, Tensor], codes: dict[int, AppearanceCodes], number: int
    ) -> None:
        self.folder.write_picture(map_index, number, tensor_to_picture(images[number]), codes[number])

    def _codes(self, map_index: int, number: int) -> AppearanceCodes:
        seed = picture_seed(self.settings.seed, map_index, number)
        with torch.autocast(
            self.accelerator.device.type, enabled=False
        ):  # photos are encoded in full precision
            return draw_codes(self.model, self.gallery, seed, self.present[map_index])

    def _finish(self) -> None:
        missing = self.folder.missing(len(self.maps.names), self.settings.num_per_map)
        if missing:
            raise ValueError(
                f"{len(missing)} pictures are missing in {self.folder.split}: were files removed meanwhile? Run the "
                "same command again"
            )
        self.folder.write_manifest(self._manifest())

    def _manifest(self) -> Iterator[dict[str, Any]]:
        for map_index, name in enumerate(self.maps.names):
            for number in range(self.settings.num_per_map):
                seed = picture_seed(self.settings.seed, map_index, number)
                line = {
                    **self.folder.picture_files(map_index, number),
                    **self.folder.map_files(map_index),
                    "seed": seed,
                    "map": map_index,
                    "map_name": name,
                    "number": number,
                }
                if self.gallery is not None:
                    # A list, because datasets wants the same keys on every line.
                    line["appearances"] = [
                        {"class": self.model.labels.names[class_id], "photo": self.gallery.names[photo]}
                        for class_id, photo in choose_photos(
                            self.gallery, seed, self.present[map_index]
                        ).items()
                    ]
                yield line


if __name__ == "__main__":
    run_command("generate.py", main)
