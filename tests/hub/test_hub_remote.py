"""Loading from and pushing to a Hub, one that runs on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.helpers.fake_hub import FakeHub
from tests.helpers.hub_models import fingerprint, make_model


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What :mod:`tests.helpers.hub_visit` saw of a Hub with two revisions of a model and a pickled one."""
    folder = tmp_path_factory.mktemp("hub")
    make_model(0).save_pretrained(folder / "main")
    make_model(1).save_pretrained(folder / "v2")
    make_model(2).save_pretrained(folder / "local")

    def contents(name: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (folder / name).iterdir()}

    server = FakeHub()
    server.add("user/model", contents("main"))
    server.add("user/model", contents("v2"), "v2")
    server.add("user/other", contents("main"))
    server.add("user/bare", {name: contents("main")[name] for name in ("config.json", "model.safetensors")})
    server.add("user/nested", {f"models/small/{name}": content for name, content in contents("v2").items()})
    server.add("user/written", {"README.md": b"My own words."})
    server.add("user/pickled", {"config.json": contents("main")["config.json"], "pytorch_model.bin": b"x"})
    with server.serving():
        environment = server.environment(folder / "home")
        environment.pop("HF_TOKEN")
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.helpers.hub_visit",
                str(folder / "local"),
                str(folder / "cache"),
            ],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout.splitlines()[-1])
    pushed = server.repositories["user/pushed"]
    results["files pushed"] = {revision: sorted(files) for revision, files in pushed.items()}
    results["cards pushed"] = {
        name: server.repositories[name]["main"]["README.md"].decode()
        for name in ("user/pushed", "user/short", "user/written", "user/carried")
    }
    return results


def test_loading_from_the_hub(visits: dict[str, Any]) -> None:
    assert visits["main"] == fingerprint(make_model(0))
    assert visits["training"] is True
    assert visits["v2"] == fingerprint(make_model(1))
    assert visits["half"] == "torch.float16"
    assert visits["cached"] == "ok"
    assert visits["no training facts"] == {}
    assert visits["subfolder"] == fingerprint(make_model(1))


def test_misses_on_the_hub(visits: dict[str, Any]) -> None:
    assert "LocalEntryNotFoundError" in visits["not cached"]
    assert "config.json of user/other (revision main) is not in the cache" in visits["not cached"]
    assert "RepositoryNotFoundError" in visits["unknown repository"]
    assert "Nor is it a folder: there is no folder 'user/nothing'" in visits["unknown repository"]
    assert "the repository user/nested/models/big has no config.json" in visits["unknown subfolder"]
    assert "its variants" not in visits["unknown variant"]
    assert "has no model.fp16.safetensors: leave variant out" in visits["unknown variant"]
    assert "RevisionNotFoundError" in visits["unknown revision"]
    assert "v99" in visits["unknown revision"]
    assert "RepositoryNotFoundError" in visits["private"]
    assert "GatedRepoError" in visits["gated"]
    assert "FileNotFoundError" in visits["no weights"]
    assert (
        "user/pickled has no model.safetensors: it holds pytorch_model.bin, which is not read"
        in visits["no weights"]
    )


def test_pushing_to_the_hub(visits: dict[str, Any]) -> None:
    assert visits["pushed"] == fingerprint(make_model(2))
    assert visits["pulled"] == visits["pushed"]
    files = ["README.md", "config.json", "model.safetensors", "training.json"]
    assert visits["files pushed"] == {"main": files, "trial": files, "refs/pr/1": files}
    assert visits["pulled from the branch"] == visits["main"]
    cards = visits["cards pushed"]
    assert cards.pop("user/written") == cards.pop("user/carried") == "My own words."
    for name, card in cards.items():
        assert f'GroupDNetPipeline.from_pretrained("{name}")' in card
