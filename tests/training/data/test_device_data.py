"""Where training pictures are kept: the same batches and runs wherever, without a wait, and what does not fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from groupdnet_hub import LabelSet, PairedImages
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.paired import MoveTables, read_label_set
from groupdnet_hub.data.transforms.moves import MoveTable
from groupdnet_hub.data.transforms.placement import Placement
from groupdnet_hub.figures import write_figures
from tests.helpers.command_lines import refusal, train_settings
from tests.helpers.host_waits import NoHostWaits
from tests.helpers.placed_items import ragged

pytest.importorskip("accelerate")
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from safetensors.torch import load_file

from groupdnet_hub.training.config import TrainConfig, parse_train_config
from groupdnet_hub.training.data import device_data as kept_data
from groupdnet_hub.training.data.batches import Batches, build_loader
from groupdnet_hub.training.data.device_data import keep_pictures
from groupdnet_hub.training.data.pictures import build_data
from tests.helpers.processes import process_as_it_was
from tests.helpers.train_runs import train

CPU = torch.device("cpu")
CACHES = ("none", "memory", "device")
MOVES = ["--random_flip", "--random_shift", "0.1", "--random_scale", "0.1", "--random_turn", "5"]
ALL_MOVES = [*MOVES, "--simplified_maps", "0.5"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    write_figures(folder, 9, size=(48, 48))
    return folder


def with_flags(drawn: Path, *flags: str) -> TrainConfig:
    return train_settings(drawn, "--train_batch_size", "2", *flags)


def batches(drawn: Path, cache: str, *flags: str, skip: int = 0) -> Iterator[dict[str, Tensor]]:
    """Two epochs as training takes them, the first from its batch ``skip`` onwards."""
    settings = with_flags(drawn, "--cache_data", cache, *flags)
    with process_as_it_was():
        accelerator = Accelerator(dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True))
        torch.manual_seed(0)
        data = build_data(settings, FIGURE_LABELS, (40, 32))
        on_device = keep_pictures(settings, data, accelerator) == "device"
        tables = isinstance(next(iter(build_loader(settings, data, CPU, on_device=on_device))), MoveTable)
        assert tables == (cache == "device")
        found = Batches(accelerator, build_loader(settings, data, CPU, on_device=on_device), data)
        found.progress.batch = skip
        for batch in islice(found, 2 * (len(data) // settings.train_batch_size) - skip):
            yield dict(batch)
        assert found.progress.epoch == 1


def assert_same(found: list[dict[str, Tensor]], expected: list[dict[str, Tensor]]) -> None:
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert value.dtype == other[name].dtype
            assert value.is_contiguous()
            assert torch.equal(value, other[name]), name


@pytest.mark.parametrize("flags", [[], ["--balanced_sampling", "1"], ["--dataloader_num_workers", "1"]])
def test_batches_are_the_same_wherever_pictures_are_kept(
    drawn: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = {cache: list(batches(drawn, cache, *ALL_MOVES, *flags)) for cache in CACHES}
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "9 pictures are read again in each epoch",
        "9 pictures are kept in memory (0.0 MiB)",
        "9 pictures are kept on cpu (0.0 MiB)",
    ]
    images = torch.cat([batch["image"] for batch in found["none"]])
    assert len(images) == 16
    assert len({image.numpy().tobytes() for image in images}) == 16, "each is moved otherwise in each epoch"
    assert found["none"][0]["image"].dtype == torch.float32
    assert found["none"][0]["label"].dtype == torch.int64
    assert -1 <= images.min() < images.max() <= 1
    for cache in CACHES[1:]:
        assert_same(found[cache], found["none"])


@pytest.mark.parametrize("cache", ["memory", "device"])
def test_an_epoch_is_taken_up_in_its_midst(drawn: Path, cache: str) -> None:
    whole = list(batches(drawn, "none", *ALL_MOVES, "--balanced_sampling", "1"))
    assert_same(list(batches(drawn, cache, *ALL_MOVES, "--balanced_sampling", "1", skip=3)), whole[3:])


def with_instances(count: int, classes: int = 8) -> PairedImages:
    """Pictures and maps of noise, given as arrays, with wide instance ids."""
    generator = torch.Generator().manual_seed(1)
    pairs = []
    for _ in range(count):
        picture = torch.randint(0, 256, (20, 28, 3), generator=generator, dtype=torch.uint8)
        label = torch.zeros(20, 28, dtype=torch.int64)
        label[5:15, 5:20] = torch.randint(0, classes, (10, 15), generator=generator)
        instance = torch.randint(0, 2**31 - 1, (20, 28), generator=generator)
        pairs.append((picture.numpy(), label.numpy(), instance.numpy()))
    labels = LabelSet.from_names([f"class {i}" for i in range(classes)])
    transform = Placement(random_flip=True, random_shift=0.2, random_turn=8, seed=2)
    return PairedImages(pairs, labels, (20, 28), transform=transform)


@pytest.mark.parametrize(("classes", "kind"), [(256, torch.uint8), (300, torch.int16)])
def test_instance_maps_and_many_classes_stay_exact(classes: int, kind: torch.dtype) -> None:
    data, cached = with_instances(5, classes), with_instances(5, classes)
    cached.cache(CPU)
    assert cached.cached is not None
    assert {name: part.dtype for name, part in cached.cached.parts.items()} == {
        "image": torch.uint8,
        "label": kind,
        "instance": torch.int32,
    }
    assert cached.cached.nbytes == cached.cache_size() == 5 * 20 * 28 * (3 + kind.itemsize + 4)
    expected = torch.utils.data.default_collate([data[i] for i in (3, 0, 4)])
    assert_same([cached.batch(table(cached, [3, 0, 4]))], [expected])
    assert torch.equal(cached[2]["instance"], data[2]["instance"])
    assert torch.equal(cached.label(1), data.label(1))
    assert torch.equal(cached.untransformed()[1]["image"], data.untransformed()[1]["image"])


def table(data: PairedImages, indices: list[int]) -> MoveTable:
    return MoveTables(data).collate([data.moves(index) for index in indices])


def test_files_are_read_once(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = PairedImages.from_folder(drawn, (40, 32), transform=Placement(random_flip=True))
    data.cache(CPU)

    def no_file(*args: object, **kwargs: object) -> None:
        raise AssertionError("a file was read again")

    monkeypatch.setattr("groupdnet_hub.data.paired.read_photo", no_file)
    monkeypatch.setattr("groupdnet_hub.data.paired.read_partial_label_map", no_file)
    data[0], data.label(3), data.untransformed()[5]


def test_workers_share_what_is_kept(drawn: Path) -> None:
    """A worker has no copy of its own: it sees what is written to shared memory later."""
    data = PairedImages.from_folder(drawn, (40, 32))
    data.cache(CPU)
    assert data.cached is not None
    data.cached.parts["image"].share_memory_()
    loader = DataLoader(
        data, 9, num_workers=1, persistent_workers=True, generator=torch.Generator().manual_seed(0)
    )
    next(iter(loader))
    data.cached.parts["image"].fill_(255)
    (batch,) = loader
    assert bool((batch["image"] == 1).all())


@pytest.mark.parametrize("ignore", [(), (255,)])
def test_a_batch_is_moved_without_a_wait(drawn: Path, ignore: tuple[int, ...]) -> None:
    """All moves at once, and each of them alone; one tensor is copied."""
    every = {"random_flip": True, "random_shift": 0.1, "random_scale": 0.1, "random_turn": 5.0}
    every["simplified_maps"] = 0.6
    labels = dataclasses.replace(read_label_set(drawn), ignore=ignore)
    for moves in (every, *({name: value} for name, value in every.items())):
        data = PairedImages.from_folder(drawn, (40, 32), labels=labels, transform=Placement(**moves))
        data.cache(CPU)
        loaded = table(data, list(range(9)))
        tensors = [f for f in dataclasses.fields(loaded) if isinstance(getattr(loaded, f.name), Tensor)]
        assert [f.name for f in tensors] == ["numbers"]
        with NoHostWaits(as_if_copied=True):
            data.batch(loaded)


def test_a_picture_comes_out_alone_as_in_a_batch_to_the_bit() -> None:
    """At a size and with classes at which sums are long; simplified maps too."""
    labels = torch.stack([ragged(seed) for seed in range(6)])
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (6, 3, 128, 64), generator=generator, dtype=torch.uint8)
    placement = Placement(
        random_flip=True, random_shift=0.1, random_scale=0.2, random_turn=9, simplified_maps=0.8
    )
    pairs = [
        (image.permute(1, 2, 0).numpy(), map_.numpy(), None)
        for image, map_ in zip(images, labels, strict=True)
    ]
    names = LabelSet.from_names([f"class {i}" for i in range(12)])
    cached = PairedImages(pairs, names, (128, 64), transform=placement)
    cached.cache(CPU)
    for epoch in range(4):
        cached.set_epoch(epoch)
        batch = cached.batch(table(cached, list(range(6))))
        for index in range(6):
            item = {"image": images[index], "label": labels[index]}
            alone = placement(item, epoch, index, class_count=12)
            assert torch.equal(alone["label"], batch["label"][index])
            assert torch.equal(alone["image"], batch["image"][index])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_moves_as_the_cpu_does(drawn: Path) -> None:
    data = PairedImages.from_folder(
        drawn,
        (48, 40),
        transform=Placement(
            random_flip=True, random_shift=0.1, random_scale=0.1, random_turn=5, simplified_maps=0.5
        ),
    )
    data.cache(CPU)
    loaded = table(data, list(range(9)))
    here = data.batch(loaded)
    data.cache(torch.device("cuda"))
    there = loaded.pin_memory()
    with NoHostWaits():
        batch = data.batch(there.to("cuda", non_blocking=True))
    assert torch.equal(batch["label"].cpu(), here["label"])
    torch.testing.assert_close(batch["image"].cpu(), here["image"], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_runs_are_the_same_and_resumed_with_another_cache(drawn: Path, tmp_path: Path) -> None:
    """Stopped within the second epoch of four steps, with everything that draws."""
    flags = ["--balanced_sampling", "1", *ALL_MOVES, "--seed", "3", "--perceptual_net", "none"]
    flags += ["--lr_decay_start", "1", "--checkpointing_steps", "6"]
    train(drawn, tmp_path / "none", *flags, "--cache_data", "none", "--max_train_steps", "9")
    other = tmp_path / "other"
    train(drawn, other, *flags, "--cache_data", "device", "--max_train_steps", "6")
    resumed = [
        "--resume_from_checkpoint",
        "latest",
        "--allow_changes",
        "max_train_steps",
        "--cache_data",
        "memory",
        "--dataloader_num_workers",
        "1",
    ]
    train(drawn, other, *flags, "--max_train_steps", "9", *resumed)
    whole, halves = (load_file(run / "model" / "model.safetensors") for run in (tmp_path / "none", other))
    assert [key for key, value in whole.items() if not torch.equal(halves[key], value)] == []


def test_two_processes_share_out_the_same_batches(drawn: Path, tmp_path: Path) -> None:
    flags = [*ALL_MOVES, "--perceptual_net", "none", "--max_train_steps", "3", "--seed", "1"]
    for cache in ("none", "device"):
        train(drawn, tmp_path / cache, *flags, "--cache_data", cache, processes=2)
    one, other = (load_file(tmp_path / cache / "model" / "model.safetensors") for cache in ("none", "device"))
    assert [key for key, value in one.items() if not torch.equal(other[key], value)] == []


class _Accelerator:
    """What is asked of an accelerator on a GPU, as far as it is not used."""

    is_local_main_process = True

    def __init__(self, device: str) -> None:
        self.device, self.said = torch.device(device), ""

    def print(self, line: str) -> None:
        self.said += line


def choice(
    drawn: Path, monkeypatch: pytest.MonkeyPatch, *flags: str, gpu: int | None = None, memory: int = 2**40
) -> tuple[str, str]:
    """What is chosen with so many bytes free, and what is said."""
    settings = with_flags(drawn, *flags)
    data = build_data(settings, FIGURE_LABELS, (40, 32))
    monkeypatch.setattr(kept_data, "free_bytes", lambda device: gpu)
    monkeypatch.setattr(kept_data.psutil, "virtual_memory", lambda: SimpleNamespace(available=memory))
    monkeypatch.setattr(PairedImages, "cache", lambda *args, **kwargs: None)
    accelerator = _Accelerator("cpu" if gpu is None else "cuda:0")
    place = keep_pictures(settings, data, accelerator)  # type: ignore[arg-type]
    return place, accelerator.said


def test_where_nobody_chooses_pictures_are_kept_where_they_fit(
    drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = 9 * 40 * 32 * 4
    assert choice(drawn, monkeypatch) == ("memory", "9 pictures are kept in memory (0.0 MiB)")
    assert choice(drawn, monkeypatch, gpu=4 * needed)[0] == "device"
    kept, said = choice(drawn, monkeypatch, gpu=4 * needed - 1)
    assert kept == "memory"
    assert "on cuda:0 they would take more than a quarter of its free 0.2 MiB" in said
    kept, said = choice(drawn, monkeypatch, "--cache_gb", "0.00001")
    assert kept == "none"
    assert said == (
        "9 pictures are read again in each epoch: they would take 0.0 MiB, more than the 1e-05 GiB of --cache_gb"
    )
    assert choice(drawn, monkeypatch, memory=needed - 1)[0] == "none"
    assert choice(drawn, monkeypatch, "--cache_gb", "0", gpu=2**30)[0] == "none"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert choice(drawn, monkeypatch, memory=2 * needed)[0] == "memory"
    assert choice(drawn, monkeypatch, memory=2 * needed - 1)[0] == "none"


def test_what_is_asked_for_and_does_not_fit_is_refused(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ValueError,
        match=r"--cache_data device: 9 pictures take .* more than the 0.0 MiB that are free on cuda:0",
    ):
        choice(drawn, monkeypatch, "--cache_data", "device", gpu=1000)
    with pytest.raises(
        ValueError, match=r"--cache_data memory: .* 1e-05 GiB of --cache_gb: raise --cache_gb"
    ):
        choice(drawn, monkeypatch, "--cache_data", "memory", "--cache_gb", "0.00001")
    with pytest.raises(ValueError, match=r"--cache_data memory: .* more than this machine's free memory"):
        choice(drawn, monkeypatch, "--cache_data", "memory", memory=1000)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--cache_data", "none", "--cache_gb", "2"], "--cache_gb has no effect with --cache_data none"),
        (["--cache_data", "device", "--cache_gb", "2"], "--cache_gb has no effect with --cache_data device"),
        (["--cache_gb", "-1"], "--cache_gb and --dataloader_num_workers must be 0 or more"),
        (
            [
                "--cache_data",
                "memory",
                "--streaming",
                "--dataset_name",
                "imagefolder",
                "--max_train_steps",
                "1",
            ],
            "--cache_data memory keeps pictures, and --streaming reads them as they come",
        ),
    ],
)
def test_flags_that_do_not_fit(drawn: Path, flags: list[str], message: str) -> None:
    assert message in refusal(parse_train_config, ["--train_data_dir", str(drawn), *flags])


def test_data_that_cannot_be_kept_are_refused(drawn: Path, tmp_path: Path) -> None:
    data = with_instances(3)
    picture, label, instance = data.pairs[2]
    data.pairs = [*data.pairs[:2], (picture, label, None)]
    with pytest.raises(ValueError, match="item 2 has no instance map, unlike the first one"):
        data.cache(CPU)
    data.pairs = [*data.pairs[:2], (picture, label, instance + 2**31)]
    with pytest.raises(ValueError, match=r"item 2 has instance ids of 2\^31 or more"):
        data.cache(CPU)
    with pytest.raises(ValueError, match="not cached on a device yet"):
        data.batch(table(data, [0]))
    write_figures(tmp_path, 2, size=(32, 32))
    (tmp_path / "train" / "images" / "figure_00001.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"item 1 .*figure_00001\.png"):
        PairedImages.from_folder(tmp_path, (32, 32)).cache(CPU)
