"""The batches of a stream: each reader its own shards, each picture once in an epoch, and taken up again exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from groupdnet_hub import LabelSet, StreamedImages
from groupdnet_hub.figures import write_figures
from groupdnet_hub.training.config import TrainConfig
from groupdnet_hub.training.data.progress import StreamProgress
from groupdnet_hub.training.data.stream_batches import StreamBatches
from tests.helpers.shard_data import write_shards

pytest.importorskip("datasets")

PICTURES, SHARDS = 22, 5


class Processes:
    """What batches ask of an accelerator, in one of several processes."""

    device = torch.device("cpu")

    def __init__(self, index: int = 0, count: int = 1) -> None:
        self.process_index, self.num_processes = index, count
        self.said: list[str] = []

    def print(self, line: str) -> None:
        self.said.append(line)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_figures(folder / "files", PICTURES, size=(32, 32))
    return write_shards(folder / "files", folder / "shards", SHARDS)


def number(item: dict[str, torch.Tensor], epoch: int, index: int, **known: object) -> dict[str, torch.Tensor]:
    """A picture as its sum, with what the transform is told of it."""
    return {
        "picture": item["image"].double().sum(),
        "epoch": torch.tensor(epoch),
        "index": torch.tensor(index),
    }


def stream(folder: Path, rows: Any = None) -> StreamedImages:
    from groupdnet_hub.data.shards.layout import find_shards
    from groupdnet_hub.data.shards.reading import stream_shards

    labels = LabelSet.from_file(folder / "classes.json")
    rows = (
        stream_shards(find_shards(folder, "train")).shuffle(seed=3, buffer_size=4) if rows is None else rows
    )
    return StreamedImages(rows, labels, (32, 32), transform=number)


def batches(
    data: StreamedImages, workers: int, process: int = 0, processes: int = 1, size: int = 2
) -> StreamBatches:
    settings = TrainConfig(
        train_data_dir=(str(Path(__file__).parent),),
        streaming=True,
        max_train_steps=1,
        train_batch_size=size,
        dataloader_num_workers=workers,
        output_dir="nowhere",
    )
    return StreamBatches(settings, data, Processes(process, processes))  # type: ignore[arg-type]


def plain(found: Iterator[Any]) -> list[tuple[list[float], list[int], list[int]]]:
    return [tuple(batch[name].tolist() for name in ("picture", "epoch", "index")) for batch in found]


def epochs(found: list[Any], count: int) -> list[list[float]]:
    """The pictures of each epoch."""
    return [
        [one for pictures, numbers, _ in found for one in pictures if numbers[0] == epoch]
        for epoch in range(count)
    ]


@pytest.mark.parametrize(("processes", "workers"), [(1, 0), (1, 1), (1, 2), (2, 0), (2, 2), (3, 1)])
def test_readers_share_the_pictures(shards: Path, processes: int, workers: int) -> None:
    seen: list[Counter[float]] = [Counter(), Counter()]
    moved: Counter[tuple[int, int]] = Counter()
    for process in range(processes):
        found = plain(islice(batches(stream(shards), workers, process, processes, size=1), 60))
        for epoch, pictures in enumerate(epochs(found, 2)):
            seen[epoch].update(pictures)
        moved.update((numbers[0], indices[0]) for _, numbers, indices in found if numbers[0] < 2)
    for one in seen:
        assert len(one) == PICTURES
        assert set(one.values()) == {1}, "each picture once in an epoch, whoever reads it"
    assert set(moved.values()) == {1}, "no two pictures of an epoch are moved alike"


def test_epochs_are_shuffled_otherwise(shards: Path) -> None:
    first, second = epochs(plain(islice(batches(stream(shards), 2, size=1), 2 * PICTURES)), 2)
    assert sorted(first) == sorted(second)
    assert first != second


def test_without_workers_the_stream_is_read_in_its_order(shards: Path) -> None:
    expected = [float(item["picture"]) for item in stream(shards)]
    found = plain(islice(batches(stream(shards), 0, size=1), PICTURES))
    assert [pictures[0] for pictures, *_ in found] == expected
    assert [indices[0] for *_, indices in found] == list(range(PICTURES))


@pytest.mark.parametrize("workers", [0, 2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3))])
def test_every_batch_can_be_taken_up_again(shards: Path, workers: int) -> None:
    whole = batches(stream(shards), workers)
    records, expected = [whole.progress.record()], []
    for batch in islice(whole, 25):  # two epochs and a half, in which some workers end before others
        expected.append(batch)
        records.append(whole.progress.record())
    expected = plain(iter(expected))
    for step in (1, 4, 5, 6, 9, 10, 11, 21):
        resumed = batches(stream(shards), workers)
        resumed.progress.load(records[step])
        assert plain(islice(resumed, 4)) == expected[step : step + 4], f"after {step} batches"


def test_what_is_skipped_is_not_decoded(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from groupdnet_hub.data import streamed

    read: list[Any] = []
    decode = streamed.read_packed
    monkeypatch.setattr(
        streamed, "read_packed", lambda *args, **named: read.append(1) or decode(*args, **named)
    )
    resumed = batches(stream(shards), 0)
    resumed.progress.load({"step": 9, "epoch": 0, "batch": 9, "epoch_0": 0, "batches_0_0": 9})
    next(iter(resumed))
    assert len(read) <= 4, "the batch before is read again, and no other"


def test_a_checkpoint_of_other_readers_starts_the_next_epoch() -> None:
    progress = StreamProgress(Processes(), 2)  # type: ignore[arg-type]
    progress.load({"step": 7, "epoch": 2, "batch": 3, "epoch_0": 2, "batches_0_0": 3})
    assert (progress.step, progress.epoch, progress.batch, progress.given) == (7, 3, 0, [0, 0])
    other = StreamProgress(Processes(1, 2), 1)  # type: ignore[arg-type]
    record = {
        "step": 7,
        "epoch": 2,
        "batch": 3,
        "epoch_0": 2,
        "batches_0_0": 3,
        "epoch_1": 4,
        "batches_1_0": 1,
    }
    other.load(record)
    assert (other.epoch, other.batch, other.given) == (4, 1, [1]), "each process has a place of its own"


def test_a_checkpoint_of_an_earlier_version_is_taken_up() -> None:
    progress = StreamProgress(Processes(), 1)  # type: ignore[arg-type]
    progress.load({"step": 7, "epoch": 2, "batch": 3})
    assert (progress.epoch, progress.batch, progress.given) == (2, 3, [3])


@pytest.mark.parametrize(("processes", "workers", "most"), [(1, 6, 5), (2, 3, 2), (3, 2, 1)])
def test_more_workers_than_shards_are_refused(shards: Path, processes: int, workers: int, most: int) -> None:
    with pytest.raises(ValueError, match=rf"has 5: give --dataloader_num_workers {most}, or"):
        batches(stream(shards), workers, 0, processes)


def test_one_shard_serves_several_processes(shards: Path) -> None:
    rows = list(stream(shards).rows)
    pictures = []
    for process in range(2):
        found = plain(islice(batches(stream(shards, rows), 0, process, 2, size=1), PICTURES // 2))
        pictures += epochs(found, 1)[0]
    assert len(set(pictures)) == PICTURES


def test_a_stream_without_a_full_batch_is_told(shards: Path) -> None:
    with pytest.raises(ValueError, match="fewer pictures than --train_batch_size 23 for each process"):
        next(iter(batches(stream(shards), 0, size=23)))
