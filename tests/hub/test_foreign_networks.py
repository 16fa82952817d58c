"""Segmentation models of strangers: what they ask for is found out before transformers makes anything of it."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from groupdnet_hub import CostLimits, LabelSet
from groupdnet_hub.hub.foreign_networks import check_network, read_network_config
from groupdnet_hub.metrics import LabelTable, Segmenter
from tests.helpers.hostile_files import refusal
from tests.helpers.small_parser import NAMES, save_small_parser

TABLE = LabelTable(LabelSet.from_names(["a", "b"]), {NAMES[0]: 0, NAMES[1]: 1}, frozenset())
BACKBONE = "is read from elsewhere: describe it in backbone_config"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A parser that loads, by which all libraries are imported."""
    folder = save_small_parser(tmp_path_factory.mktemp("parsers") / "sound")
    Segmenter(folder, TABLE)
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sound, tmp_path / "parser")


def put(folder: Path, name: str = "config.json", **values: Any) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"hidden_sizes": [10**9]}, "asks for 'hidden_sizes': 1000000000; it is at most 65536"),
        (
            {"depths": [50_000, 50_000]},
            r"asks for 'depths': \[50000, 50000\]; together they are at most 65536",
        ),
        ({"num_hidden_layers": 10**12}, "asks for 'num_hidden_layers': 1000000000000; it is at most 65536"),
        ({"image_size": 10**6}, "asks for 'image_size': 1000000; it is at most 65536"),
        ({"num_labels": 10**9, "id2label": None}, "asks for 'num_labels': 1000000000; it is at most"),
        ({"id2label": {str(n): str(n) for n in range(50_000)}}, "asks for 50000 'id2label'; at most"),
        ({"backbone_config": {"depths": [[10**9]]}}, "asks for 'depths': 1000000000; it is at most 65536"),
        ({"backbone": "stranger/network"}, f"names the backbone 'stranger/network', which {BACKBONE}"),
        (
            {"backbone": "hf-hub:a/b", "use_timm_backbone": True},
            f"names the backbone 'hf-hub:a/b', which {BACKBONE}",
        ),
        ({"configuration_files": ["config.5.0.0.json"]}, "names other files, configuration_files"),
    ],
)
def test_figures_that_no_network_has(folder: Path, values: dict[str, Any], told: str) -> None:
    put(folder, **values)
    for load in (lambda: Segmenter(folder, TABLE), lambda: LabelTable.of_model(folder, TABLE.labels)):
        with refusal(f"parser cannot be loaded: config.json {told}", seconds=2):
            load()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        # Attention between all pixels of a large picture, in a network of a few thousand parameters.
        (
            {},
            r"asks for [\d,.]+ GiB of memory for a picture, and the limit is 24. .* GROUPDNET_MAX_MEMORY_GB=",
        ),
        ({"hidden_sizes": [60_000], "decoder_hidden_size": 60_000}, "GiB of memory for a picture"),
        ({"depths": [60_000]}, "asks for more than 10000 layers"),
        ({"decoder_hidden_size": 30_000}, r"asks for [\d,]+ parameters, and model.safetensors holds"),
        # Which do not divide 8: transformers finds weights of other shapes.
        ({"num_attention_heads": [3]}, "parser cannot be loaded: "),
    ],
)
def test_networks_that_cost_too_much(folder: Path, values: dict[str, Any], told: str) -> None:
    put(folder, **values)
    if not values:
        put(folder, "preprocessor_config.json", size={"height": 2048, "width": 2048})
    with refusal(told, seconds=10):
        Segmenter(folder, TABLE)


def test_limits_that_are_raised_and_lowered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Segmenter(folder, TABLE, limits=CostLimits(memory_gb=0.05))
    with refusal(r"limits=CostLimits\(memory_gb=1\) in Python", seconds=5):
        Segmenter(folder, TABLE, limits=CostLimits(memory_gb=1e-6))
    monkeypatch.setenv("GROUPDNET_MAX_TERA_MACS", "1e-9")
    with refusal(r"multiply-accumulates for a picture.* GROUPDNET_MAX_TERA_MACS=1 ", seconds=5):
        Segmenter(folder, TABLE)


@pytest.mark.parametrize("what", ["crop_size", "pad_size"])
def test_processors_that_enlarge(folder: Path, what: str) -> None:
    put(folder, "preprocessor_config.json", **{what: {"height": 10**6, "width": 10**6}})
    with refusal(f"must be from 1 to 4096 pixels: correct {what} in preprocessor_config.json", seconds=5):
        Segmenter(folder, TABLE)


def test_what_other_threads_make_is_not_counted(sound: Path) -> None:
    from torch import nn

    made: list[nn.Module] = []
    ended = threading.Event()

    def make() -> None:
        while not ended.is_set():
            made.append(nn.Linear(100_000, 10, device="meta"))

    thread = threading.Thread(target=make)
    thread.start()
    try:
        # The network itself takes 10 MB; each layer beside it would be 4 MB more.
        check_network(read_network_config(sound), sound, (64, 64), CostLimits(memory_gb=0.05))
    finally:
        ended.set()
        thread.join()
    assert made


@pytest.mark.slow
def test_published_kinds_pass(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="parsers need transformers")
    for kind in ("beit", "dpt", "mobilevitv2", "segformer", "upernet"):
        options = {"out_indices": [3, 5, 7, 11]} if kind == "beit" else {}
        config = transformers.AutoConfig.for_model(kind, **options)
        side = getattr(config, "image_size", 512)
        check_network(config, tmp_path, (side, side), CostLimits())
