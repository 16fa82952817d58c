"""Files that strangers upload, or say that they have: under which names they lie, and who can use them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from page.server.uploads import plain_name

from tests.helpers.sentences import is_sentence, sentence_of
from tests.helpers.strangers import API, Stranger
from tests.security.conftest import OpenPage

SECRET = "nobody may read this"
META = {"_type": "gradio.FileData"}
NAMES = (
    *(b"../../x.png", b"/etc/x.png", b"..\\..\\x.png", b"C:\\x.png", b"a\0b.png", b"x" * 5000 + b".png"),
    *("\u202egnp.exe".encode(), "a\u2066\u200e\x1b[2Jb.png".encode(), b"CON", b"nul.png", b"-rf"),
    *(b"--help.png", b"<img src=x onerror=alert(1)>.png", b"..", b".", b".htaccess"),
    "\N{PILE OF POO}.png".encode(),
)


def all_files(folder: Path) -> set[Path]:
    return {Path(parent, name) for parent, _, names in os.walk(folder) for name in names}


def test_uploads_get_plain_names_in_the_temporary_folder(open_page: OpenPage) -> None:
    stranger, folder = Stranger(open_page.address), open_page.model.parent
    before, told = all_files(folder), set[Path]()
    for number, name in enumerate(NAMES):
        status, text = stranger.upload(name, b"a picture %d" % number)
        assert status in (200, 400, 413), text
        if status == 200:
            (stored,) = map(Path, json.loads(text))
            assert stored.resolve() == stored
            assert stored.read_bytes() == b"a picture %d" % number
            told.add(stored)
        else:
            assert is_sentence(sentence_of(text)), text
    assert len(told) >= 13
    new = all_files(folder) - before - {open_page.log}
    assert told <= new
    for path in new:
        root, *checksum, name = path.relative_to(open_page.uploads).parts
        assert root.startswith("groupdnet-page-")
        # What was refused has no checksum yet, and a name that was drawn for it.
        assert [len(one) for one in checksum] == [64] if path in told else name.startswith("tmp")
        assert name.isprintable()
        assert name[0] not in ".-"
        assert not set(name) & set("/\\<>")
        assert name.partition(".")[0].upper() not in ("CON", "NUL")


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("map of me (2).png", "map of me (2).png"),
        ("Übergröße 袖.png", "Übergröße 袖.png"),
        ("\u202egnp.exe", "gnp.exe"),
        ("a\u200b\ud800b\x85.png", "ab.png"),
        ("..--.htaccess", "htaccess"),
        ("\u2067", "file"),
    ],
)
def test_plain_names(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def client(page: OpenPage, cookie: str = "") -> Stranger:
    return Stranger(page.address, headers={"Cookie": f"groupdnet-browser={cookie}"} if cookie else {})


def test_nobody_uses_what_another_browser_uploaded(open_page: OpenPage) -> None:
    mine, other = client(open_page, "a" * 43), client(open_page, "b" * 43)
    content = next((open_page.model.parent / "maps").glob("*.png")).read_bytes()
    (path,) = json.loads(mine.upload(b"mine.png", content)[1])
    file = {"path": path, "meta": META}
    assert mine.call("/edit", file)[0]
    # Another tab of the same browser is another session, and the same visitor.
    assert client(open_page, "a" * 43).call("/edit", file)[0]
    for stranger in (other, client(open_page)):
        done, answer = stranger.call("/edit", file)
        assert not done
        assert answer["error"].startswith("There is no upload 'mine.png': upload it first")
        # Nor by saying that the call is one of a batch.
        sent = {"data": [file], "batched": True, "session_hash": stranger.session}
        assert "picture" not in stranger.post(f"{API}run/edit", sent)[1]
    # Whoever has the same file may use it: uploaded once more, it is theirs as well.
    assert json.loads(other.upload(b"mine.png", content)[1]) == [path]
    assert other.call("/edit", file)[0]
    assert mine.call("/edit", file)[0]


def test_programs_without_cookies_use_what_they_upload(open_page: OpenPage) -> None:
    program = client(open_page)
    content = next((open_page.model.parent / "maps").glob("*.png")).read_bytes()
    (path,) = json.loads(program.upload(b"map.png", content)[1])
    done, answer = program.call("/edit", {"path": path, "meta": META})
    assert done, answer
    *_, picture, _ = answer
    # A picture that the page has drawn is no upload, before it is one.
    done, answer = program.call("/edit", {"path": picture["path"], "meta": META})
    assert not done
    assert "there is no upload" in answer["error"].lower()


def hostile_files(folder: Path, page: str, elsewhere: str) -> list[Any]:
    """Return 24 descriptions of files that are no uploads."""
    secret = str(folder / "secret.txt")
    places = [
        *(secret, f"../{secret}", "/etc/passwd", "/proc/self/environ", "/dev/zero", "/", ".", ""),
        *(f"file://{secret}", "data:image/png;base64,AAAA", f"{elsewhere}/x", f"{page}config"),
        *("x" * 100_000, "a\0b", "\u202egnp.x", str(folder), str(folder / "model" / "config.json")),
    ]
    return [
        *({"path": path, "meta": META} for path in places),
        {"url": f"{elsewhere}/x", "meta": META},
        {"path": None, "url": f"{elsewhere}/x", "meta": META},
        {"path": secret, "is_stream": True, "meta": META},
        {"path": "secret.txt", "meta": {"_type": "gradio.Other"}},
        {"path": secret, "meta": META, "orig_name": "x" * 100_000, "size": -1},
        {"path": secret, "meta": META, "size": "many", "mime_type": [1]},
        {"path": {"path": secret, "meta": META}, "meta": META},
    ]


def test_files_that_were_not_uploaded_are_refused(open_page: OpenPage, elsewhere: str) -> None:
    page, folder = open_page.address, open_page.model.parent
    (folder / "secret.txt").write_text(SECRET)
    stranger = Stranger(page)
    for file in hostile_files(folder, page, elsewhere):
        is_done, answer = stranger.call("/edit", file)
        assert not is_done, file
        assert SECRET not in answer["error"]
        assert is_sentence(answer["error"]), answer
    link = folder / "link.png"
    link.unlink(missing_ok=True)
    link.symlink_to(folder / "secret.txt")
    assert not stranger.call("/edit", {"path": str(link), "meta": META})[0]


@pytest.mark.parametrize("endpoint", ["/edit", "/open_map", "/open_work", "/parse", "/encode"])
def test_no_other_server_is_asked_for_a_file(open_page: OpenPage, elsewhere: str, endpoint: str) -> None:
    stranger, port = Stranger(open_page.address), elsewhere.rpartition(":")[2]
    (path,) = json.loads(stranger.upload(b"map.png", b"no picture")[1])
    others = {
        "/open_map": [0, False],
        "/encode": [{"path": path, "meta": META}, False, None],
        "/parse": [None],
    }
    urls = [
        f"{scheme}://{host}:{port}/x.png"
        for scheme in ("http", "HTTPS")
        for host in ("127.0.0.1", "localhost")
    ]
    for url in (*urls, f"//127.0.0.1:{port}/x.png", f"ftp://127.0.0.1:{port}/x.png"):
        for file in (
            {"path": url},
            {"path": url, "url": url},
            {"path": "", "url": url},
            {"path": path, "url": url},
        ):
            done, answer = stranger.call(endpoint, {**file, "meta": META}, *others.get(endpoint, []))
            assert not done
            assert is_sentence(answer["error"]), answer
