"""What generate.py refuses, and the upload of what it made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub import LabelSet
from groupdnet_hub.figures import write_figures
from groupdnet_hub.generation.config import parse_generate_config
from tests.helpers.command_lines import refusal
from tests.helpers.fake_hub import FakeHub
from tests.helpers.generate_runs import MAPS, SCRIPT, contents, flags, run, run_with_hub, save_model
from tests.helpers.hub_models import make_model
from tests.helpers.script_runs import run_script
from train import generate


@pytest.fixture(scope="module")
def started(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("started")
    run(flags(inputs, output))
    return output


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--seed", "1"], "started with seed 0, not seed 1"),
        (["--num_per_map", "2"], "started with num_per_map 1, not num_per_map 2"),
        (["--batch_size", "2"], "started with batch_size 8, not batch_size 2"),
        (["--save_codes"], "started with save_codes false, not save_codes true"),
    ],
)
def test_another_setting_is_refused(inputs: Path, started: Path, changed: list[str], message: str) -> None:
    before = contents(started / "train")
    with pytest.raises(ValueError, match=message):
        generate.main(flags(inputs, started, *changed))
    assert contents(started / "train") == before


def test_another_model_map_or_folder_is_refused(inputs: Path, started: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "model", seed=2)
    with pytest.raises(ValueError, match=r"started with model \w{8}\.\.\., not model \w{8}\.\.\."):
        generate.main(flags(inputs, started, "--model", str(tmp_path / "model")))
    write_figures(tmp_path / "maps", MAPS, seed=1, size=(48, 48))
    with pytest.raises(ValueError, match="started with label maps"):
        generate.main(flags(inputs, started, "--label_dir", str(tmp_path / "maps" / "train")))
    with pytest.raises(ValueError, match=r"files that generate\.py did not write"):
        generate.main(flags(inputs, inputs / "maps"))
    LabelSet.from_names(("a", "b")).to_file(tmp_path / "classes.json")
    with pytest.raises(ValueError, match="other classes than the model's"):
        generate.main(flags(inputs, tmp_path))
    make_model().save_pretrained(tmp_path / "road")
    with pytest.raises(ValueError, match="the model's classes are sky, house, road; those of train are back"):
        generate.main(flags(inputs, tmp_path / "out", "--model", str(tmp_path / "road")))


def test_a_bad_label_map_or_photo_is_named(inputs: Path, tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    arguments = flags(inputs, tmp_path / "out", "--label_dir", str(maps))
    with pytest.raises(ValueError, match="maps holds no label map"):
        generate.main(arguments)
    Image.fromarray(np.full((32, 32), 9, dtype=np.uint8)).save(maps / "wrong.png")
    with pytest.raises(ValueError, match=r"^wrong\.png: the label map's value 9"):
        generate.main(arguments)
    Image.fromarray(np.zeros((32, 64), dtype=np.uint8)).save(maps / "wrong.png")
    with pytest.raises(ValueError, match=r"^wrong\.png: .* other proportions"):
        generate.main(arguments)
    (maps / "wrong.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ValueError, match=r"^wrong\.png: .* damaged"):
        generate.main(arguments)
    write_figures(tmp_path / "gallery", 3, size=(32, 32))
    photo = tmp_path / "gallery" / "train" / "images" / "figure_00002.png"
    photo.write_bytes(photo.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"^images/figure_00002\.png: .* damaged or cut off"):
        generate.main(flags(inputs, tmp_path / "out", "--gallery_dir", str(photo.parents[1])))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("processes", [1, 2])
def test_all_bad_label_maps_are_named_at_once(inputs: Path, tmp_path: Path, processes: int) -> None:
    write_figures(tmp_path / "maps", 5, size=(32, 32))
    labels = tmp_path / "maps" / "train" / "labels"
    for number, content in ((1, b""), (4, b"\x89PNG\r\n\x1a\n")):
        (labels / f"figure_0000{number}.png").write_bytes(content)
    given = flags(inputs, tmp_path / "out", "--label_dir", str(tmp_path / "maps" / "train"))
    done = run_script(SCRIPT, given, processes=processes)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.count("generate.py: 2 of 5 items cannot be read:\n") == processes
    assert done.stderr.count("\n  labels/figure_00001.png: the label map") == processes
    assert done.stderr.count("\n  labels/figure_00004.png: the label map") == processes


def test_a_bad_input_ends_with_one_line(inputs: Path, tmp_path: Path) -> None:
    done = run_script(SCRIPT, flags(inputs, tmp_path / "out", "--model", str(tmp_path)))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("generate.py: the folder")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--label_dir", "/nowhere"], "no folder /nowhere"),
        (["--gallery_dir", "/nowhere"], "no folder /nowhere"),
        (["--gallery_dir", "."], "no metadata.jsonl"),
        (["--classes_from_gallery", "hair"], "--gallery_dir"),
        (["--num_per_map", "0"], "at least 1"),
        (["--batch_size", "0"], "at least 1"),
        (["--seed", "-1"], "from 0 to"),
        (["--split", "../up"], "one name"),
        (["--output_dir", __file__], "is a file"),
        (["--push_to_hub", "name"], "user/name"),
        (["--hub_private"], "--push_to_hub"),
    ],
)
def test_wrong_arguments(given: list[str], message: str) -> None:
    base = ["--model", "absent", "--label_dir", ".", "--output_dir", "out"]
    parse_generate_config(base)
    assert message in refusal(parse_generate_config, [*base, *given])


def test_wrong_arguments_end_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        generate.main(["--model", "absent", "--label_dir", ".", "--output_dir", "out", "--seed", "-1"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("generate.py: --seed is -1")


HUB = {
    "HF_TOKEN": "hf_token",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_OFFLINE": "0",
}


def test_pushing_a_data_set(inputs: Path, started: Path, tmp_path: Path) -> None:
    server = FakeHub()
    with server.serving():
        address = {"HF_ENDPOINT": server.address, "HF_HOME": str(tmp_path)}
        done = run_with_hub(flags(inputs, started, "--push_to_hub", "user/people"), **HUB, **address)
    assert done.returncode == 0, done.stderr[-3000:]
    said = done.stdout
    assert "drew 0 of 8" in said
    assert f"uploaded to {server.address}/datasets/user/people/commit/" in said
    assert list(server.repositories) == ["datasets/user/people"]
    pushed = server.repositories["datasets/user/people"]["main"]
    here = {p.relative_to(started).as_posix(): p.read_bytes() for p in started.rglob("*") if p.is_file()}
    assert pushed == here
    assert {"README.md", "classes.json", "train/metadata.jsonl", "train/images/000000_000000.png"} <= set(
        pushed
    )
    assert 'load_dataset("user/people")' in pushed["README.md"].decode()
    assert str(inputs) not in pushed["train/generate.json"].decode()


def test_a_failed_upload_is_told(inputs: Path, started: Path, tmp_path: Path) -> None:
    arguments = flags(inputs, started, "--push_to_hub", "user/people")
    nobody = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    done = run_with_hub(arguments, **HUB, **nobody)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("generate.py: ")
    assert "is finished but was not uploaded to user/people" in last
    assert "Traceback" not in done.stderr


def test_a_data_set_in_place_of_a_split_of_it(tmp_path: Path, inputs: Path) -> None:
    with pytest.raises(ValueError, match=r"it is a data set with the splits train, such as .*maps/train"):
        generate.main(flags(inputs, tmp_path / "out", "--label_dir", str(inputs / "maps")))
    assert not (tmp_path / "out").exists()
