"""Synthetic training data as a user makes it: the same pictures however many processes, and after a kill."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from groupdnet_hub import AppearanceCodes, GroupDNet, GroupDNetPipeline, PairedImages
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.label_maps import read_label_map
from groupdnet_hub.data.labels import label_picture
from groupdnet_hub.figures import write_figures
from groupdnet_hub.generation.inputs import Gallery
from groupdnet_hub.io.images import read_photo
from groupdnet_hub.runs.sharding import picture_seed, shard
from tests.helpers.generate_runs import (
    MAPS,
    SCRIPT,
    contents,
    flags,
    lines_of,
    run,
    save_model,
)
from tests.helpers.processes import reset_accelerate
from tests.helpers.script_runs import Running
from train import generate

PER_MAP = 25


# -- the same pictures -------------------------------------------------------------------------------------------

GALLERY_RUN = ("--num_per_map", str(PER_MAP), "--seed", "5", "--batch_size", "4", "--save_codes")


@pytest.fixture(scope="module")
def whole(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 pictures with appearances of a gallery, drawn by one process without a stop."""
    output = tmp_path_factory.mktemp("whole")
    more = (*GALLERY_RUN, "--gallery_dir", str(inputs / "gallery" / "train"))
    said = run(flags(inputs, output, *more), threads=2)
    assert re.search(r"drew 200 of 200 pictures in .* pictures/s, 1 process\)", said)
    return output / "train"


def test_two_processes_draw_what_one_draws(inputs: Path, tmp_path: Path, whole: Path) -> None:
    more = (*GALLERY_RUN, "--gallery_dir", str(inputs / "gallery" / "train"))
    said = run(flags(inputs, tmp_path, *more), 2)
    assert "drew 200 of 200" in said
    assert "2 processes" in said
    one, two = contents(whole), contents(tmp_path / "train")
    assert len([name for name in one if name.startswith("images/")]) == MAPS * PER_MAP
    assert sorted(two) == sorted(one)
    assert [name for name in one if two[name] != one[name]] == []


def test_killed_and_restarted_none_is_missing_or_doubled(inputs: Path, tmp_path: Path, whole: Path) -> None:
    """The killed run has one process and the one that resumes has two: the rest is sharded again."""
    more = (*GALLERY_RUN, "--gallery_dir", str(inputs / "gallery" / "train"))
    images = tmp_path / "train" / "images"
    running = Running(SCRIPT, flags(inputs, tmp_path, *more))
    while running.poll() is None and (not images.is_dir() or len(list(images.glob("*.png"))) < 30):
        time.sleep(0.005)
    running.kill()
    before = {path: path.stat().st_mtime_ns for path in images.glob("[!.]*.png")}
    assert 30 <= len(before) < MAPS * PER_MAP
    assert not (tmp_path / "train" / "metadata.jsonl").exists()
    (images / ".000007_000000.png.partial").write_bytes(b"cut off")
    next(iter(before)).unlink()  # a hole in the midst, as a process of several leaves it

    said = run(flags(inputs, tmp_path, *more), 2)
    assert f"drew {MAPS * PER_MAP - len(before) + 1} of 200" in said
    assert contents(tmp_path / "train") == contents(whole)
    kept = [path for path, written in before.items() if path.stat().st_mtime_ns == written]
    assert len(kept) == len(before) - 1  # nothing was drawn twice

    names = [line["file_name"] for line in lines_of(tmp_path / "train")]
    assert len(names) == len(set(names)) == MAPS * PER_MAP
    pictures = {(tmp_path / "train" / name).read_bytes() for name in names}
    assert len(pictures) == MAPS * PER_MAP


def test_a_finished_folder_is_left_as_it_is(inputs: Path, tmp_path: Path) -> None:
    """Also where the maps were moved to; the pictures of their data set are not looked at."""
    split = tmp_path / "out" / "train"
    generate.main(flags(inputs, tmp_path / "out"))
    before = {path: path.stat().st_mtime_ns for path in split.glob("*/*")}
    shutil.copytree(inputs / "maps", tmp_path / "moved")
    shutil.rmtree(tmp_path / "moved" / "train" / "images")
    generate.main(flags(inputs, tmp_path / "out", "--label_dir", str(tmp_path / "moved" / "train")))
    assert {path: path.stat().st_mtime_ns for path in split.glob("*/*")} == before
    (split / "labels" / "000003.png").unlink()
    generate.main(flags(inputs, tmp_path / "out"))
    assert (split / "labels" / "000003.png").is_file()


def test_what_rounding_depends_on_stays_the_same(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tiny model's pictures hardly show it, so it is looked at directly: threads, and the pictures of a batch."""
    torch.set_num_threads(2)
    sizes: list[int] = []
    decode = GroupDNet.decode

    def recorded(self: GroupDNet, codes: torch.Tensor, *rest: object) -> torch.Tensor:
        assert torch.get_num_threads() == 1
        sizes.append(len(codes))
        return decode(self, codes, *rest)

    monkeypatch.setattr(GroupDNet, "decode", recorded)
    arguments = flags(inputs, tmp_path, "--num_per_map", "5", "--batch_size", "3")
    generate.main(arguments)
    assert sizes == [3, 2] * MAPS
    for name in ("000002_000001", "000006_000004"):
        (tmp_path / "train" / "images" / f"{name}.png").unlink()
    sizes.clear()
    generate.main(arguments)
    assert sizes == [3, 2]


def test_shards_cover_everything_once() -> None:
    class Process:
        process_index, num_processes = 0, 1

    for count in range(12):
        for processes in range(1, 7):
            parts = []
            for index in range(processes):
                process = Process()
                process.process_index, process.num_processes = index, processes
                parts += shard(count, process)
            assert parts == list(range(count))


def test_seeds() -> None:
    seeds = {picture_seed(s, m, n) for s in (0, 1, 2**63 - 1) for m in range(30) for n in range(30)}
    assert len(seeds) == 3 * 30 * 30
    assert max(seeds) < 2**53
    assert picture_seed(5, 3, 7) == picture_seed(5, 3, 7)


# -- what is in the folder ---------------------------------------------------------------------------------------


def test_the_folder_is_a_data_set(whole: Path, inputs: Path, tmp_path: Path) -> None:
    data = PairedImages.from_folder(whole.parent, (32, 32))
    assert data.labels == FIGURE_LABELS
    assert len(data) == MAPS * PER_MAP
    maps = PairedImages.from_folder(inputs / "maps", (32, 32))
    assert torch.equal(data[PER_MAP]["label"], maps[1]["label"])
    datasets = pytest.importorskip("datasets")
    rows = datasets.load_dataset(
        "imagefolder", data_dir=str(whole.parent), split="train", cache_dir=str(tmp_path)
    )
    assert len(rows) == MAPS * PER_MAP
    first = PairedImages.from_rows(rows, FIGURE_LABELS, (32, 32))[0]
    assert torch.equal(first["image"], data[0]["image"])
    assert torch.equal(first["label"], data[0]["label"])
    assert rows[7]["seed"] == picture_seed(5, 0, 7)


def test_a_picture_can_be_drawn_again_from_its_codes(whole: Path, inputs: Path) -> None:
    model = GroupDNet.from_pretrained(inputs / "model")
    for line in lines_of(whole)[::23]:
        codes = AppearanceCodes.load(whole / line["codes"])
        label = torch.from_numpy(read_label_map(whole / line["label_file_name"], model.labels))[None]
        with torch.inference_mode():
            again = model.decode(codes.tensor[None], label)[0]
        picture = np.asarray(read_photo(whole / line["file_name"])).astype(float)
        drawn = ((again.clamp(-1, 1) + 1) * 127.5).permute(1, 2, 0).numpy()
        assert np.abs(drawn - picture).max() < 1  # half a grey level, and the rounding of another batch


def test_the_manifest_says_where_each_class_comes_from(whole: Path, inputs: Path) -> None:
    model = GroupDNet.from_pretrained(inputs / "model")
    gallery = PairedImages.from_folder(inputs / "gallery", (32, 32))
    names = [f"images/{pair[0].name}" for pair in gallery.pairs]
    photos_of_tops = set()
    for line in lines_of(whole):
        codes = AppearanceCodes.load(whole / line["codes"])
        shown = {
            FIGURE_LABELS.names[i]
            for i in np.unique(read_label_map(whole / line["label_file_name"], FIGURE_LABELS))
        }
        sources = {entry["class"]: entry["photo"] for entry in line["appearances"]}
        assert set(sources) == shown
        assert len(set(sources.values())) == len(sources)  # each class from another photo
        photos_of_tops.add(sources["top-clothes"])
        if line["number"] % 10 == 0:
            prior = model.sample_codes(generator=torch.Generator().manual_seed(line["seed"]))[0]
            for class_id, name in enumerate(FIGURE_LABELS.names):
                expected = prior[class_id]
                if name in sources:
                    item = gallery[names.index(sources[name])]
                    assert class_id in item["label"]
                    with torch.inference_mode():
                        posterior = model.encode(item["image"][None], item["label"][None])
                    expected = posterior.mode()[0, class_id]
                torch.testing.assert_close(codes.pick(name), expected, rtol=1e-4, atol=1e-5)
    assert len(photos_of_tops) > 6


def test_seeds_are_those_of_the_pipeline(inputs: Path, tmp_path: Path) -> None:
    """Without a gallery, ``sample`` with a line's seed draws its picture; a plain folder of maps is read."""
    maps = tmp_path / "maps"
    maps.mkdir()
    for i, path in enumerate(sorted((inputs / "maps" / "train" / "labels").iterdir())[:3]):
        (maps / f"m{i}.png").write_bytes(path.read_bytes())
    more = ("--num_per_map", "3", "--batch_size", "1", "--split", "extra", "--label_dir", str(maps))
    generate.main(flags(inputs, tmp_path / "out", *more))
    pipeline = GroupDNetPipeline.from_pretrained(inputs / "model")
    split = tmp_path / "out" / "extra"
    lines = lines_of(split)
    assert [(line["map"], line["map_name"], line["number"]) for line in lines[2:5]] == [
        (0, "m0.png", 2),
        (1, "m1.png", 0),
        (1, "m1.png", 1),
    ]
    for line in lines:
        look = pipeline.sample(maps / line["map_name"], seed=line["seed"])
        assert np.array_equal(np.asarray(look.image), np.asarray(Image.open(split / line["file_name"])))


def test_the_batch_size_changes_no_code_and_hardly_a_pixel(inputs: Path, tmp_path: Path) -> None:
    for size in ("1", "3"):
        more = ("--num_per_map", "5", "--batch_size", size, "--save_codes")
        generate.main(flags(inputs, tmp_path / size, *more))
    one, three = contents(tmp_path / "1" / "train"), contents(tmp_path / "3" / "train")
    assert all(three[name] == value for name, value in one.items() if name.startswith(("codes/", "labels/")))
    for name in (name for name in one if name.startswith("images/")):
        pictures = [
            np.asarray(Image.open(tmp_path / size / "train" / name)).astype(int) for size in ("1", "3")
        ]
        assert np.abs(pictures[0] - pictures[1]).max() <= 1


def test_mixed_precision(inputs: Path, tmp_path: Path) -> None:
    """bf16 changes pictures a little and codes, also those of the gallery's photos, not at all."""
    gallery = ("--gallery_dir", str(inputs / "gallery" / "train"), "--save_codes")
    generate.main(flags(inputs, tmp_path / "no", *gallery))
    reset_accelerate()
    generate.main(flags(inputs, tmp_path / "bf16", *gallery, "--mixed_precision", "bf16"))
    exact, half = contents(tmp_path / "no" / "train"), contents(tmp_path / "bf16" / "train")
    assert all(half[name] == value for name, value in exact.items() if name.startswith("codes/"))
    images = [name for name in exact if name.startswith("images/")]
    assert any(half[name] != exact[name] for name in images)
    for name in images:
        pictures = [
            np.asarray(Image.open(tmp_path / p / "train" / name)).astype(float) for p in ("no", "bf16")
        ]
        assert np.abs(pictures[0] - pictures[1]).mean() < 4


def test_some_classes_from_the_gallery(inputs: Path, tmp_path: Path) -> None:
    more = ("--gallery_dir", str(inputs / "gallery" / "train"), "--classes_from_gallery", "hair", "face")
    generate.main(flags(inputs, tmp_path, *more))
    taken = {entry["class"] for line in lines_of(tmp_path / "train") for entry in line["appearances"]}
    assert taken == {"hair", "face"}
    with pytest.raises(ValueError, match=r"no class 'hairs', did you mean 'hair'"):
        generate.main(flags(inputs, tmp_path / "other", *more, "--classes_from_gallery", "hairs"))


def test_a_class_that_no_photo_shows_is_drawn_from_the_prior(inputs: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "gallery" / "train"
    write_figures(tmp_path / "gallery", 1, seed=9, size=(32, 32))
    hair = FIGURE_LABELS.id_of("hair")
    path = next((gallery / "labels").iterdir())
    ids = read_label_map(path, FIGURE_LABELS)
    ids[ids == hair] = 0
    label_picture(ids, FIGURE_LABELS).save(path)
    more = ("--gallery_dir", str(gallery))
    generate.main(flags(inputs, tmp_path / "out", *more))
    taken = {entry["class"] for line in lines_of(tmp_path / "out" / "train") for entry in line["appearances"]}
    assert "hair" not in taken
    assert "top-clothes" in taken
    with pytest.raises(ValueError, match="no photo of the gallery shows hair"):
        generate.main(flags(inputs, tmp_path / "other", *more, "--classes_from_gallery", "hair"))


def test_a_choice_of_photos_repeats_only_when_it_must() -> None:
    gallery = Gallery.__new__(Gallery)
    gallery.photos = {0: [3, 4, 5], 1: [3, 4], 2: [3], 4: []}
    for seed in range(20):
        assert gallery.choose(seed, [0, 1, 2, 4, 7]) == {0: 5, 1: 4, 2: 3}
    gallery.photos = {0: [3], 1: [3]}
    assert gallery.choose(1, [0, 1]) == {0: 3, 1: 3}
    gallery.photos = {0: list(range(10))}
    counts = np.bincount([gallery.choose(seed, [0])[0] for seed in range(2000)], minlength=10)
    assert counts.min() > 140


def test_a_model_with_instance_edges(tmp_path: Path, inputs: Path) -> None:
    save_model(tmp_path / "model", instance_edges=True)
    write_figures(tmp_path / "maps", 2, size=(32, 32))
    split = tmp_path / "maps" / "train"
    with pytest.raises(ValueError, match=r"draws instance edges: .* instance_file_name"):
        generate.main(flags(inputs, tmp_path / "out", "--model", str(tmp_path / "model")))
    (split / "instances").mkdir()
    lines = lines_of(split)
    for i, line in enumerate(lines):
        line["instance_file_name"] = f"instances/{i}.png"
        ids = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32) // 64 + 300 * i
        Image.fromarray(ids).save(split / line["instance_file_name"])
    (split / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    more = ("--model", str(tmp_path / "model"), "--label_dir", str(split), "--num_per_map", "2")
    generate.main(flags(inputs, tmp_path / "out", *more))
    given = PairedImages.from_folder(tmp_path / "maps", (32, 32))
    made = PairedImages.from_folder(tmp_path / "out", (32, 32))
    assert torch.equal(made[3]["instance"], given[1]["instance"])
    assert not torch.equal(made[0]["image"], made[1]["image"])


@pytest.mark.parametrize("name", ["a\u2028b\x85\u2029", "caf\u00e9", "\udce9", "a\x0b\x1c\nb"])
def test_names_of_label_maps_that_break_lines(tmp_path: Path, inputs: Path, name: str) -> None:
    (tmp_path / "maps").mkdir()
    first = sorted((inputs / "maps" / "train" / "labels").iterdir())[0]
    try:
        (tmp_path / "maps" / f"{name}.png").write_bytes(first.read_bytes())
    except (OSError, UnicodeEncodeError):
        pytest.skip("this file system does not have such names")
    generate.main(flags(inputs, tmp_path / "out", "--label_dir", str(tmp_path / "maps")))
    (line,) = lines_of(tmp_path / "out" / "train")  # of a reader that splits as Python does
    assert line["map_name"] == f"{name}.png"
    assert len(PairedImages.from_folder(tmp_path / "out", (32, 32))) == 1
