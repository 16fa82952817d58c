"""A wheel alone, in an environment that knows no clone: its page answers, and it trains."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.helpers.shared_data import ROOT

pytestmark = pytest.mark.slow


def build(source: Path, target: str, folder: Path) -> Path:
    """Return the wheel or sdist of a source tree, built with what is installed."""
    pytest.importorskip("hatchling", reason="builds the wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=source, capture_output=True, timeout=120, check=True)
    return next(folder.iterdir())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new environment with the wheel; everything else is what this environment has."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], timeout=120, check=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install"]
    subprocess.run([*pip, "-q", "--no-deps", "--no-index", str(wheel)], timeout=120, check=True)
    # Folders on its path, whose own .pth files are not read: an editable install in them is none here.
    place = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    others = [path for path in sys.path if Path(path).name == "site-packages"]
    Path(place, "others.pth").write_text("\n".join(others) + "\n", encoding="utf-8")
    return python.parent


def run(installed: Path, folder: Path, program: str, *flags: str) -> str:
    """What one of its programs prints, started in a folder outside of the clone."""
    command = [str(installed / program), *flags]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GROUPDNET"))}
    kept |= {"HF_HUB_OFFLINE": "1", "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    return kept | more


def test_what_is_in_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "groupdnet_hub", "train", "space"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    expected = {
        name if name.startswith("groupdnet_hub/") else f"groupdnet_hub/_bundled/{name}"
        for name in tracked
        if (ROOT / name).is_file()
    }
    expected.add("groupdnet_hub/_bundled/space/reroll_mix_morph_edit.png")
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_an_sdist_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    sdist = build(ROOT, "sdist", tmp_path / "sdist")
    shutil.unpack_archive(sdist, tmp_path / "source")
    again = build(next((tmp_path / "source").iterdir()), "wheel", tmp_path / "wheel")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert {one.filename: one.CRC for one in first.infolist()} == {
            one.filename: one.CRC for one in second.infolist()
        }


def test_every_command_is_there(installed: Path, tmp_path: Path) -> None:
    """All of them in one process, since each imports torch."""
    code = """
import sys
from groupdnet_hub.__main__ import COMMANDS, main
print(sys.modules["groupdnet_hub"].__file__)
for name in [*COMMANDS, "convert"]:
    try:
        main([name, "--help"])
    except SystemExit as end:
        assert not end.code, (name, end.code)
"""
    printed = run(installed, tmp_path, "python", "-c", code)
    assert Path(printed.splitlines()[0]).is_relative_to(installed.parent)
    names = ["demo", "train", "evaluate", "generate", "prepare", "compare", "reproduce", "export", "convert"]
    assert re.findall(r"^usage: groupdnet (\w+)", printed, re.MULTILINE) == names
    assert (
        re.findall(r"^  ([a-z]+) +\S", run(installed, tmp_path, "groupdnet", "--help"), re.MULTILINE) == names
    )


def test_it_trains_on_drawn_people(installed: Path, tmp_path: Path) -> None:
    """By itself, and resumed under accelerate's launcher; then the model draws a data set."""
    run(
        installed, tmp_path, "python", "-m", "groupdnet_hub.figures", "people", "--count", "4", "--size", "32"
    )
    flags = [
        "train",
        "--train_data_dir",
        "people",
        "--output_dir",
        "run",
        "--resolution",
        "32",
        "--width",
        "4",
    ]
    flags += ["--train_batch_size", "2", "--report_to", "none", "--perceptual_net", "none"]
    flags += ["--checkpointing_steps", "2"]
    run(installed, tmp_path, "groupdnet", *flags, "--max_train_steps", "2")
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1", "-m", "groupdnet_hub"]
    resumed = [
        "--max_train_steps",
        "4",
        "--resume_from_checkpoint",
        "latest",
        "--allow_changes",
        "max_train_steps",
    ]
    run(installed, tmp_path, "python", *launch, *flags, *resumed)
    assert (tmp_path / "run" / "checkpoint-4").is_dir()
    drawing = ["--model", "run/model", "--label_dir", "people/train", "--output_dir", "drawn"]
    run(installed, tmp_path, "groupdnet", "generate", *drawing)
    assert len(list((tmp_path / "drawn" / "train" / "images").iterdir())) == 4


def test_its_page_answers(installed: Path, tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason="the page needs gradio")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {"GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1"}
    log = tmp_path / "log.txt"
    with log.open("w") as output:
        server = subprocess.Popen(
            [str(installed / "groupdnet"), "demo"],
            cwd=tmp_path,
            env=environment(**variables),
            stdout=output,
            stderr=output,
        )
    try:
        page = answer(server, f"http://127.0.0.1:{port}/", log)
        assert "GroupDNet" in page
        assert "people16" in page  # the further model's page
    finally:
        server.terminate()
        server.wait(timeout=20)


def answer(
    server: subprocess.Popen[bytes], address: str, log: Path, waits: Sequence[float] = (0.2,) * 900
) -> str:
    """What a page answers once it is up."""
    for wait in waits:
        assert server.poll() is None, log.read_text(encoding="utf-8")[-2000:]
        try:
            return str(urllib.request.urlopen(address, timeout=5).read().decode())
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(wait)
    raise AssertionError(f"the page did not come up: {log.read_text(encoding='utf-8')[-2000:]}")
