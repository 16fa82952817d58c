"""Raw data that is downloaded, and prepared data that is uploaded."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub import PairedImages
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.label_maps import read_label_map
from groupdnet_hub.prepare import download as prepare_download
from tests.helpers.fake_hub import FakeHub
from tests.helpers.prepare_runs import TAGS, prepare
from tests.helpers.raw_data import archive_of, ccp_person, write_ccp, write_folder_pair
from tests.helpers.shared_data import ROOT

# The download.


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_download(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_ccp(tmp_path / "source", TAGS, {"0001": ccp_person(TAGS)})
    commit = prepare_download.CCP_COMMIT
    archive = tmp_path / "www" / "bearpaw" / "clothing-co-parsing" / "archive" / f"{commit}.tar.gz"
    archive.parent.mkdir(parents=True)
    here = tmp_path / "here"
    flags = ("ccp", "--download", "--output", here / "ccp8", "--validation_share", 0)
    with serving(tmp_path / "www") as address:
        monkeypatch.setenv("GROUPDNET_ARCHIVES", address)
        assert prepare(*flags) == 2
        assert "the server answers 404" in capsys.readouterr().err
        whole = archive_of(source, commit)
        for content, message in (
            (whole[: len(whole) // 2], "the downloaded archive is damaged"),
            (b"<html>", "the downloaded archive is damaged"),
            (archive_of(source / "photos", commit), "is not Clothing Co-Parsing: it has no LICENSE"),
            (archive_of(source, "0" * 40), "is of commit 0000"),
        ):
            archive.write_bytes(content)
            assert prepare(*flags) == 2
            assert message in capsys.readouterr().err
            assert list(here.iterdir()) == [], "nothing half done stays"
        archive.write_bytes(whole)
        assert prepare(*flags) == 0
        assert "Apache-2.0" in capsys.readouterr().out
    assert prepare(*flags) == 0, "what is there is not downloaded again"
    raw = here / "clothing-co-parsing"
    files = {path.relative_to(raw).as_posix() for path in raw.rglob("*") if path.is_file()}
    assert files == {
        "LICENSE",
        "label_list.mat",
        "photos/0001.jpg",
        "photos/2000.jpg",
        "annotations/pixel-level/0001.mat",
    }
    assert not list(tmp_path.rglob("escaped.jpg"))
    assert len(PairedImages.from_folder(here / "ccp8", (64, 64))) == 1
    with pytest.raises(ValueError, match="only https:// and http://"):
        prepare_download.download_ccp(tmp_path / "x", (tmp_path / "www").as_uri())
    with pytest.raises(ValueError, match="holds something else"):
        prepare_download.download_ccp(tmp_path / "www")


# The Hub.


def test_push_to_hub(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    pyarrow = pytest.importorskip("pyarrow.parquet")
    pictures, maps, classes = write_folder_pair(tmp_path / "raw", 5)
    server = FakeHub()
    command = [sys.executable, str(ROOT / "train" / "prepare.py"), "folder", "--input", str(pictures)]
    command += ["--labels", str(maps), "--classes", str(classes), "--output", str(tmp_path / "out")]
    command += ["--validation_share", "0.4", "--num_workers", "0", "--push_to_hub", "user/people"]
    with server.serving():
        environment = server.environment(tmp_path / "home")
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith(f"uploaded to {server.address}/datasets/user/people\n")
    files = server.repositories["datasets/user/people"]["main"]
    assert files["classes.json"] == (tmp_path / "out" / "classes.json").read_bytes()
    rows = [
        row
        for split in ("train", "validation")
        for row in pyarrow.read_table(io.BytesIO(files[f"data/{split}-00000-of-00001.parquet"])).to_pylist()
    ]
    assert {row["label"]["path"] for row in rows} == {f"p{i:03d}.png" for i in range(5)}
    for row in rows:
        label = Image.open(io.BytesIO(row["label"]["bytes"]))
        raw = read_label_map(maps / row["label"]["path"], FIGURE_LABELS)
        assert np.array_equal(read_label_map(label, FIGURE_LABELS), raw)


def test_push_without_datasets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, maps, classes = write_folder_pair(tmp_path / "raw", 1)
    monkeypatch.setitem(sys.modules, "datasets", None)
    flags = ("folder", "--input", pictures, "--labels", maps, "--classes", classes)
    assert prepare(*flags, "--output", tmp_path / "out", "--push_to_hub", "user/people") == 2
    assert "--push_to_hub needs the library datasets: pip install" in capsys.readouterr().err
    assert not (tmp_path / "out").exists(), "said before the work, not after it"
