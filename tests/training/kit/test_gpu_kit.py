"""A training kit for a machine without network: packed, unpacked there, trained with, and resumed from at home."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from groupdnet_hub import LabelSet, PairedImages
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.figures import write_figures
from groupdnet_hub.training.objectives.losses import PerceptualLoss

pytest.importorskip("accelerate")
from groupdnet_hub.training.kit import data as kit_data
from groupdnet_hub.training.kit import parts as kit_parts
from groupdnet_hub.training.state.parts import join
from tests.helpers.train_runs import ROOT, train_here
from tests.helpers.unknown_maps import ignore_in, write_bordered
from train.tools import pack_for_gpu, resume_kit, unpack

RUN = {"resolution": [32], "width": 4, "train_batch_size": 2, "report_to": "none", "perceptual_net": "vgg16"}
RUN |= {"use_ema": True, "max_train_steps": 4, "checkpointing_steps": 2, "discriminator_width": 4}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    write_figures(folder, 6, size=(32, 32))
    write_figures(folder, 3, seed=9, size=(32, 32), split="validation")
    return folder


@pytest.fixture(scope="module")
def vgg16_file(random_vgg16: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random VGG16 with one tensor more, that no trunk has."""
    path = tmp_path_factory.mktemp("vgg") / "vgg16.safetensors"
    save_file(load_file(random_vgg16) | {"classifier.0.weight": torch.zeros(4)}, path)
    return path


def run_alone(script: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """A script with Python's standard library alone."""
    command = [sys.executable, "-I", "-S", str(script), *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_several_data_folders_travel_in_their_order(drawn: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(drawn, tmp_path / "other"))
    settings = pack_for_gpu.PackConfig(to=tmp_path, train_data_dir=(drawn, other))
    for number in (1, 2, 10):
        (tmp_path / "data" / str(number)).mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resume_kit, "KIT", tmp_path)
        flags = resume_kit.kit_flags(tmp_path / "run", 1.0)
    first = flags.index("--train_data_dir")
    assert [Path(flag).name for flag in flags[first + 1 : first + 4]] == ["1", "2", "10"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack_for_gpu, "pack_code", lambda stage: "commit")
        patch.setattr(
            pack_for_gpu, "write_parts", lambda stage, order, to, size, facts, unpack: [stage, order, facts]
        )
        _, order, facts = pack_for_gpu.pack(settings)
    assert order == ["data"]
    assert facts["pictures"] == {"train": 12, "validation": 6}


@pytest.mark.slow
def test_the_whole_way_there_and_back(drawn: Path, vgg16_file: Path, tmp_path: Path) -> None:
    listing = ["git", "-C", str(ROOT), "ls-files", "--error-unmatch", "train/tools/resume_kit.py"]
    if shutil.which("git") is None or subprocess.run(listing, capture_output=True, check=False).returncode:
        pytest.skip("the code is packed from a git checkout, and this is none")
    (tmp_path / "flags.json").write_text(json.dumps(RUN))
    halved = tmp_path / "vgg16.safetensors"
    kit_data.pack_weights(vgg16_file, halved)
    here = ("--args_file", str(tmp_path / "flags.json"), "--perceptual_weights", str(halved))
    whole = tmp_path / "whole"
    train_here(drawn, whole, *here)

    home = tmp_path / "home"
    shutil.copytree(whole / "checkpoint-2", home / "checkpoint-2")
    flags = ["--to", str(tmp_path / "kit"), "--train_data_dir", str(drawn), "--checkpoint", str(home)]
    flags += ["--perceptual_weights", str(vgg16_file), "--args_file", str(tmp_path / "flags.json")]
    pack_for_gpu.main([*flags, "--part_mb", "21"])
    parts = sorted((tmp_path / "kit").glob("kit-*.tar"))
    manifest = json.loads((tmp_path / "kit" / "kit.json").read_text())
    assert len(parts) == 2
    assert [part["name"] for part in manifest["parts"]] == [path.name for path in parts]
    assert manifest["pictures"] == {"train": 6, "validation": 3}

    there = tmp_path / "there"
    for number, part in enumerate(parts, start=1):
        done = run_alone(tmp_path / "kit" / "unpack.py", str(part), "--to", str(there))
        assert done.returncode == 0, done.stderr
        assert ("all parts are in" in done.stdout) == (number == len(parts))
    assert (there / "groupdnet_hub" / "__init__.py").is_file()
    packed = (there / "weights" / "vgg16.safetensors").stat().st_size
    assert packed < 0.51 * vgg16_file.stat().st_size

    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    command = [sys.executable, str(there / "train" / "tools" / "resume_kit.py"), "--seconds", "1e-3"]
    command += [
        "--state_to",
        str(tmp_path / "state"),
        "--checkpoint_part_mb",
        "0.1",
        "--",
        "--logging_steps",
        "1",
    ]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "at step 3 of 4" in done.stdout
    assert all(path.stat().st_size <= 1e5 for path in (tmp_path / "state").glob("*.safetensors"))

    shutil.rmtree(there)
    assert join(tmp_path / "state", home).name == "checkpoint-3"
    train_here(drawn, home, *here, "--resume_from_checkpoint", "latest")
    expected, found = (load_file(run / "model" / "model.safetensors") for run in (whole, home))
    assert [key for key, value in expected.items() if not torch.equal(found[key], value)] == []


@pytest.mark.parametrize("pictures", ["keep", "png", "jpeg"])
def test_packed_data_trains_as_before(drawn: Path, tmp_path: Path, pictures: str) -> None:
    counts = kit_data.pack_data(drawn, tmp_path / "data", pictures=pictures, quality=90)
    assert counts == {"train": 6, "validation": 3}
    for split in counts:
        before, after = (
            PairedImages.from_folder(d, (32, 32), split=split) for d in (drawn, tmp_path / "data")
        )
        assert len(after) == len(before)
        for one, other in zip((before[i] for i in range(3)), (after[i] for i in range(3)), strict=True):
            assert torch.equal(one["label"], other["label"])
            assert torch.equal(one["image"], other["image"]) == (pictures != "jpeg")
            assert (one["image"] - other["image"]).abs().mean() < 0.06
    suffixes = {path.suffix for path in (tmp_path / "data" / "train" / "images").iterdir()}
    assert suffixes == {".jpg" if pictures == "jpeg" else ".png"}


def test_resized_data_is_what_training_would_resize(tmp_path: Path) -> None:
    """Label maps by colours and of another format, and instance maps of 16 bit."""
    split = tmp_path / "given" / "train"
    for name in ("images", "labels", "instances"):
        (split / name).mkdir(parents=True)
    FIGURE_LABELS.to_file(tmp_path / "given" / "classes.json")
    random = np.random.default_rng(0)
    ids = random.integers(0, len(FIGURE_LABELS.names), (48, 40))
    Image.fromarray(random.integers(0, 256, (48, 40, 3)).astype(np.uint8)).save(split / "images" / "a.png")
    Image.fromarray(np.asarray(FIGURE_LABELS.palette, np.uint8)[ids]).save(split / "labels" / "a.bmp")
    Image.fromarray((ids * 1000).astype(np.uint16)).save(split / "instances" / "a.png")
    entry = {"file_name": "images/a.png", "label_file_name": "labels/a.bmp"}
    entry |= {"instance_file_name": "instances/a.png", "crop": [1, 2, 3, 4]}
    (split / "metadata.jsonl").write_text(json.dumps(entry) + "\n")
    kit_data.pack_data(tmp_path / "given", tmp_path / "packed", pictures="png", size=(24, 16))
    before, after = (PairedImages.from_folder(tmp_path / name, (24, 16))[0] for name in ("given", "packed"))
    assert set(before) == {"image", "label", "instance"}
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert Image.open(tmp_path / "packed" / "train" / "labels" / "a.png").size == (16, 24)
    assert json.loads((tmp_path / "packed" / "train" / "metadata.jsonl").read_text())["crop"] == [1, 2, 3, 4]


def test_pairs_that_do_not_fit_are_refused(drawn: Path, tmp_path: Path) -> None:
    data = shutil.copytree(drawn, tmp_path / "data")
    entry = json.loads((data / "train" / "metadata.jsonl").read_text().splitlines()[0])
    photo = Image.open(data / "train" / entry["file_name"]).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    for size, saved, words in (
        ((64, 64), {}, r"is 64x64 \(height x width\) and its label map 32x64"),
        ((64, 32), {"exif": exif}, "orientation 6 and the label map is not"),
    ):
        photo.resize(size).save(data / "train" / entry["file_name"], **saved)
        label = Image.open(drawn / "train" / entry["label_file_name"]).resize(
            (64, 32), Image.Resampling.NEAREST
        )
        label.save(data / "train" / entry["label_file_name"])
        with pytest.raises(ValueError, match=words):
            kit_data.pack_data(data, tmp_path / "packed", pictures="png", size=(32, 32))
        shutil.rmtree(tmp_path / "packed")


def test_two_pictures_of_one_new_name_are_refused(drawn: Path, tmp_path: Path) -> None:
    data = shutil.copytree(drawn, tmp_path / "data")
    listing = data / "train" / "metadata.jsonl"
    entries = [json.loads(line) for line in listing.read_text().splitlines()]
    first = data / "train" / entries[0]["file_name"]
    Image.open(first).convert("RGB").save(first.with_suffix(".bmp"))
    entries[1]["file_name"] = entries[0]["file_name"].replace(".png", ".bmp")
    listing.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    with pytest.raises(ValueError, match="would both become"):
        kit_data.pack_data(data, tmp_path / "packed", pictures="jpeg")


def test_half_precision_weights_of_the_perceptual_net(vgg16_file: Path, tmp_path: Path) -> None:
    kit_data.pack_weights(vgg16_file, tmp_path / "half.safetensors")
    stored = load_file(tmp_path / "half.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
    assert "classifier.0.weight" not in stored
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 1, 3, 32, 32, generator=generator) * 2 - 1
    exact, half = (
        PerceptualLoss("vgg16", path)(a, b) for path in (vgg16_file, tmp_path / "half.safetensors")
    )
    assert half.dtype == torch.float32
    assert float(half) == pytest.approx(float(exact), rel=1e-2)
    save_file({"features.0.weight": torch.tensor([1e9])}, tmp_path / "large.safetensors")
    with pytest.raises(ValueError, match="16-bit floats do not hold"):
        kit_data.pack_weights(tmp_path / "large.safetensors", tmp_path / "other.safetensors")


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """Two parts of small files."""
    source = tmp_path / "source"
    (source / "b").mkdir(parents=True)
    (source / "a.txt").write_bytes(b"a" * 20_000)
    (source / "b" / "ü.txt").write_bytes(b"b" * 20_000)
    kit_parts.write_parts(source, ("a.txt", "b"), tmp_path / "kit", 35_000, {}, Path(unpack.__file__))
    return tmp_path / "kit"


def test_parts_are_small_repeatable_and_replace_older_ones(kit: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in kit.iterdir()}
    assert set(before) == {"kit-01.tar", "kit-02.tar", "kit.json", "unpack.py"}
    assert all(len(before[name]) <= 35_000 for name in ("kit-01.tar", "kit-02.tar"))
    os.utime(tmp_path / "source" / "a.txt", (1, 1))
    script = Path(unpack.__file__)
    kit_parts.write_parts(tmp_path / "source", ("a.txt", "b"), kit, 35_000, {}, script)
    assert before == {path.name: path.read_bytes() for path in kit.iterdir()}
    kit_parts.write_parts(tmp_path / "source", ("a.txt", "b"), kit, 100_000, {}, script)
    assert {path.name for path in kit.iterdir()} == {"kit-01.tar", "kit.json", "unpack.py"}
    with pytest.raises(ValueError, match=r"a\.txt has 0\.0 MB and does not fit"):
        kit_parts.write_parts(tmp_path / "source", ("a.txt",), kit, 20_000, {}, script)


def test_parts_come_in_any_order_and_again(kit: Path, tmp_path: Path) -> None:
    there, manifest = tmp_path / "there", kit / "kit.json"
    assert unpack.unpack([kit / "kit-02.tar"], there, manifest) == ["kit-01.tar"]
    assert unpack.unpack([kit / "kit-02.tar"], there, manifest) == ["kit-01.tar"]
    assert unpack.unpack([kit / "kit-01.tar"], there, manifest) == []
    assert (there / "a.txt").read_bytes() == b"a" * 20_000
    assert (there / "b" / "ü.txt").read_bytes() == b"b" * 20_000
    manifest.write_text(manifest.read_text() + "\n")
    with pytest.raises(ValueError, match="another kit"):
        unpack.unpack([kit / "kit-01.tar"], there, manifest)


def test_damaged_and_foreign_parts_are_refused_unread(kit: Path, tmp_path: Path) -> None:
    part = kit / "kit-01.tar"
    content = bytearray(part.read_bytes())
    content[600] ^= 1
    for damaged in (bytes(content), part.read_bytes()[:-512]):
        part.write_bytes(damaged)
        done = run_alone(kit / "unpack.py", str(part), "--to", str(tmp_path / "there"))
        assert done.returncode == 1
        assert "damaged or cut off" in done.stderr
        assert not (tmp_path / "there" / "a.txt").exists()
    (tmp_path / "kit-07.tar").write_bytes(b"")
    with pytest.raises(ValueError, match="not a part of this kit"):
        unpack.unpack([tmp_path / "kit-07.tar"], tmp_path / "there", kit / "kit.json")


@pytest.mark.parametrize(
    ("name", "kind", "link"),
    [
        ("../evil", tarfile.REGTYPE, ""),
        ("/tmp/groupdnet-evil", tarfile.REGTYPE, ""),
        ("b/../../evil", tarfile.REGTYPE, ""),
        ("c:/evil", tarfile.REGTYPE, ""),
        ("..\\evil", tarfile.REGTYPE, ""),
        ("link/evil", tarfile.REGTYPE, ""),
        (".kit/kit-02.tar", tarfile.REGTYPE, ""),
        ("evil", tarfile.SYMTYPE, "/etc/passwd"),
        ("evil", tarfile.LNKTYPE, "/etc/passwd"),
        ("evil", tarfile.FIFOTYPE, ""),
    ],
)
def test_paths_that_lead_out_are_refused_before_anything_is_written(
    kit: Path, tmp_path: Path, name: str, kind: bytes, link: str
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "link").symlink_to(tmp_path)
    with tarfile.open(kit / "kit-01.tar", "w") as tar:
        for member, as_kind in (("first", tarfile.REGTYPE), (name, kind)):
            entry = tarfile.TarInfo(member)
            entry.type, entry.linkname = as_kind, link
            entry.size = 4 if as_kind == tarfile.REGTYPE else 0
            tar.addfile(entry, io.BytesIO(b"evil"))
    manifest = json.loads((kit / "kit.json").read_text())
    manifest["parts"][0] = kit_parts.part_entry(kit / "kit-01.tar", 2)
    (kit / "kit.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"not a file inside the folder|leads out of"):
        unpack.unpack([kit / "kit-01.tar"], there, kit / "kit.json")
    assert {path.name for path in there.iterdir()} == {"link", ".kit"}
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--train_data_dir", "/nowhere"], "no folder /nowhere"),
        (["--perceptual_weights", "/nowhere"], "no file /nowhere"),
        (["--add", "/nowhere"], "there is no /nowhere"),
        (["--resolution", "64", "32"], "give --pictures jpeg or png"),
        (["--half_optimizer"], "no effect without --checkpoint"),
        (["--part_mb", "0"], "above 0"),
        (["--pictures", "jpeg", "--jpeg_quality", "0"], "from 1 to 100"),
    ],
)
def test_wrong_flags_end_with_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        pack_for_gpu.main(["--to", str(tmp_path / "kit"), *flags])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_a_kit_that_is_not_whole_is_not_trained_with(tmp_path: Path) -> None:
    target = tmp_path / "there" / "train" / "tools"
    target.mkdir(parents=True)
    script = shutil.copy(ROOT / "train" / "tools" / "resume_kit.py", target)
    flags = ("--seconds", "1", "--state_to", str(tmp_path / "state"))
    assert "not an unpacked kit" in run_alone(script, *flags).stderr
    records = tmp_path / "there" / ".kit"
    records.mkdir()
    (records / "kit.json").write_text(json.dumps({"parts": [{"name": "kit-01.tar"}, {"name": "kit-02.tar"}]}))
    (records / "kit-01.tar").touch()
    assert "lacks kit-02.tar" in run_alone(script, *flags).stderr


def test_compiled_code_is_kept_where_the_flag_or_the_caller_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    kept = [resume_kit.environment_of(None)[name] for name in names]
    assert kept == [str(ROOT / "compile_cache" / name) for name in ("inductor", "triton")]
    monkeypatch.setenv(names[0], "/mine")
    assert resume_kit.environment_of(None)[names[0]] == "/mine"
    found = resume_kit.environment_of(tmp_path)
    assert [found[name] for name in names] == [str(tmp_path / name) for name in ("inductor", "triton")]
    assert os.environ[names[0]] == "/mine"
    assert names[1] not in os.environ


@pytest.mark.parametrize("ignore", [[255], [[224, 224, 192]], [255, [224, 224, 192], 7], [7]])
@pytest.mark.parametrize("size", [None, (24, 16)])
def test_unknown_pixels_travel(
    tmp_path: Path, ignore: list[int | list[int]], size: tuple[int, int] | None
) -> None:
    """As ids, as colours, and as a class that is ignored; in PNGs that are copied, and in maps that are written."""
    write_bordered(tmp_path / "data", 3, (32, 32))
    colours = [one for one in ignore if isinstance(one, list)]
    for path in (tmp_path / "data").glob("*/labels/*.png"):
        ids = np.asarray(Image.open(path)).copy()
        if 255 not in ignore:
            ids[ids == 255] = 7
        if colours and ignore[0] != 255:
            palette = np.array([*FIGURE_LABELS.palette[:7], *colours], np.uint8)
            Image.fromarray(palette[ids]).save(path)
        else:
            Image.fromarray(ids).save(path)
    ignore_in(tmp_path / "data", *ignore)
    kit_data.pack_data(
        tmp_path / "data", tmp_path / "packed", pictures="keep" if size is None else "png", size=size
    )
    before, after = (
        PairedImages.from_folder(tmp_path / name, size or (32, 32)) for name in ("data", "packed")
    )
    for item, packed in zip(before, after, strict=False):
        assert item["unknown"].any()
        assert torch.equal(item["unknown"], packed["unknown"])
        assert torch.equal(item["label"][~item["unknown"]], packed["label"][~item["unknown"]])


@pytest.mark.parametrize("values", ["255", "255 254"])
def test_a_kit_says_itself_what_is_unknown(tmp_path: Path, values: str) -> None:
    write_bordered(tmp_path / "data", 2, (32, 32))
    flags = ["--to", str(tmp_path / "kit"), "--train_data_dir", str(tmp_path / "data"), "--pictures", "png"]
    with pytest.raises(ValueError, match=r"255 is not a class id.*--ignore_id 255"):
        pack_for_gpu.main([*flags, "--resolution", "16", "16"])
    pack_for_gpu.main([*flags, "--resolution", "16", "16", "--ignore_id", *values.split()])
    kit = tmp_path / "kit"
    assert unpack.unpack([kit / "kit-01.tar"], tmp_path / "there", kit / "kit.json") == []
    before = LabelSet(FIGURE_LABELS.names, FIGURE_LABELS.palette, tuple(map(int, values.split())))
    given = PairedImages.from_folder(tmp_path / "data", (16, 16), labels=before)
    packed = PairedImages.from_folder(tmp_path / "there" / "data" / "1", (16, 16))
    assert packed.labels == before
    for item, other in zip(given, packed, strict=False):
        assert torch.equal(item["unknown"], other["unknown"])
        assert item["unknown"].any()
