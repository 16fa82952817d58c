"""Downloading Clothing Co-Parsing from its public repository, at one commit; only the needed files are unpacked."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from http.client import HTTPException
from pathlib import Path

from tqdm.auto import tqdm

CCP_COMMIT = "fe34fb77721a9973fbae92c05f7f12b664d10110"
CCP_LICENCE = (
    "Clothing Co-Parsing (W. Yang, P. Luo, L. Lin, CVPR 2014), github.com/bearpaw/clothing-co-parsing, Apache-2.0: its "
    "LICENSE is beside the files. The photos were gathered from the web by its authors."
)
# GROUPDNET_ARCHIVES names another place that serves the same path: a mirror, or a test.
_ARCHIVES = "https://github.com"
_NEEDED = re.compile(
    r"[^/]+/(LICENSE|README\.md|label_list\.mat|photos/\w+\.jpg|annotations/pixel-level/\w+\.mat)"
)
_TIMEOUT = 60
# Far above any file of the data set.
_MAX_FILE = 64 * 2**20


def ccp_archive_url() -> str:
    """Return the URL of the archive of Clothing Co-Parsing."""
    base = os.environ.get("GROUPDNET_ARCHIVES", _ARCHIVES).rstrip("/")
    return f"{base}/bearpaw/clothing-co-parsing/archive/{CCP_COMMIT}.tar.gz"


def download_ccp(folder: Path, url: str | None = None) -> None:
    """Download and unpack Clothing Co-Parsing as ``folder``, atomically; do nothing if it exists.

    Args:
        folder: folder of the data set.
        url: URL of the archive; by default :func:`ccp_archive_url`.

    Raises:
        ValueError: if the download fails or is not the data set, or the folder holds something else.
    """
    if (folder / "label_list.mat").is_file() and (folder / "photos").is_dir():
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} holds something else than Clothing Co-Parsing: name another --input")
    url = ccp_archive_url() if url is None else url
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", suffix=".partial", dir=folder.parent))
    try:
        archive = partial / "archive.tar.gz"
        _fetch(url, archive)
        _unpack(archive, partial / "unpacked")
        (partial / "unpacked").chmod(0o755)
        if folder.exists():
            folder.rmdir()
        os.replace(partial / "unpacked", folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _fetch(url: str, path: Path) -> None:
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"cannot download {url}: only https:// and http:// addresses are fetched")
    request = urllib.request.Request(url, headers={"User-Agent": "groupdnet-hub"})
    try:
        # Only http(s), as checked above: no file:// address.
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer, path.open("wb") as file:  # nosec B310
            length = answer.headers.get("Content-Length")
            total = int(length) if length is not None and length.isdecimal() else None
            with tqdm(total=total, desc="downloading", unit="B", unit_scale=True) as bar:
                while block := answer.read(2**18):
                    file.write(block)
                    bar.update(len(block))
    except urllib.error.HTTPError as error:
        raise ValueError(f"cannot download {url}: the server answers {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise ValueError(f"cannot download {url}: {error.reason}") from None
    except (HTTPException, TimeoutError, ConnectionError) as error:
        raise ValueError(f"the download of {url} broke off ({error!r}): run this again") from None
    if total is not None and path.stat().st_size != total:
        raise ValueError(
            f"the download of {url} broke off after {path.stat().st_size} of {total} bytes: run this again"
        )


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack regular files of known names only, each to its known place: no links, no paths out of ``folder``."""
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tqdm(tar, desc="unpacking", unit="file"):
                match = _NEEDED.fullmatch(member.name)
                if match is None or not member.isreg():
                    continue
                if member.size > _MAX_FILE:
                    raise ValueError(
                        f"the archive's file {member.name} has {member.size} bytes, far too many"
                    )
                target = folder / match[1]
                target.parent.mkdir(parents=True, exist_ok=True)
                source = tar.extractfile(member)
                if source is not None:
                    with source, target.open("wb") as file:
                        shutil.copyfileobj(source, file)
            commit = tar.pax_headers.get("comment", CCP_COMMIT)  # where git archive writes it
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk, not the archive
        raise ValueError(f"the downloaded archive is damaged ({error}): run this again") from None
    if commit != CCP_COMMIT:
        raise ValueError(f"the downloaded archive is of commit {commit}, not of {CCP_COMMIT}")
    missing = [
        name
        for name in ("LICENSE", "label_list.mat", "photos", "annotations/pixel-level")
        if not (folder / name).exists()
    ]
    if missing:
        raise ValueError(f"the downloaded archive is not Clothing Co-Parsing: it has no {', '.join(missing)}")
