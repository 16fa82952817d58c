"""Maps to start from: those of sixteen classes serve the paper's eight, and a model names the looks it opens with."""

from __future__ import annotations

import json
import logging
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub import GroupDNet, GroupDNetConfig, LabelSet
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.label_maps import read_label_map
from groupdnet_hub.data.labels import label_picture
from groupdnet_hub.data.people import PEOPLE16, merge_people16
from tests.helpers.fake_hub import FakeHub
from tests.helpers.page_models import MORE_LABELS, save_examples
from tests.helpers.shared_data import ROOT, shared_folder

pytest.importorskip("gradio", reason="the page needs gradio")

from page.core.example_maps import ExamplesError, check_examples, example_map, example_maps, fitting_maps
from page.core.opening_looks import OPENING_SEEDS, OpeningLook, opening_looks, read_looks
from page.core.session import Session
from page.core.studio import Studio
from page.human_eval.answers import Answers
from page.human_eval.evaluation import Evaluation

EXAMPLES = ROOT / "space" / "examples"


@pytest.fixture(scope="module")
def upright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder of label maps of sixteen classes, 128x64."""
    folder = tmp_path_factory.mktemp("upright")
    save_examples(folder, MORE_LABELS, (128, 64))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a square model of the paper's eight classes."""
    folder = tmp_path_factory.mktemp("model")
    GroupDNet(GroupDNetConfig.for_labels(FIGURE_LABELS, (64, 64), width=4)).save_pretrained(folder)
    return folder


# -- sixteen classes for eight -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [
        ((128, 128), slice(None), slice(32, 96)),
        ((128, 64), slice(None), slice(None)),
        ((256, 64), slice(64, 192), slice(None)),
    ],
    ids=["beside", "none", "above and below"],
)
def test_maps_of_sixteen_classes_are_merged_and_padded(
    upright: Path, size: tuple[int, int], rows: slice, columns: slice
) -> None:
    for path in example_maps(upright, FIGURE_LABELS):
        ids = example_map(path, FIGURE_LABELS, size)
        expected = np.zeros(size, np.int64)
        expected[rows, columns] = merge_people16(read_label_map(path, MORE_LABELS))
        assert np.array_equal(ids, expected)


def test_a_studio_of_eight_classes_and_its_evaluation_show_them(
    model: Path, upright: Path, tmp_path: Path
) -> None:
    studio = Studio(str(model), upright)
    assert studio.examples == sorted(upright.glob("*.png"))
    check_examples(upright, studio.labels, studio.size)
    opened = studio.enter(Session())
    assert len(opened.bundled) == len(OPENING_SEEDS)
    for kept, path in zip(opened.bundled, studio.examples, strict=False):
        assert np.array_equal(kept.look.mask, example_map(path, FIGURE_LABELS, (64, 64)))
    evaluation = Evaluation.from_environment(studio, upright, Answers(tmp_path / "answers.sqlite3"))
    assert list(evaluation.maps) == [path.name for path in studio.examples]
    assert evaluation.maps["example_04.png"].max() < 8


def test_maps_are_merged_by_the_names_of_their_classes(upright: Path, tmp_path: Path) -> None:
    """Not by their ids, which a folder may number otherwise."""
    turned = LabelSet(MORE_LABELS.names[::-1], MORE_LABELS.palette[::-1])
    turned.to_file(tmp_path / "classes.json")
    for path in sorted(upright.glob("*.png")):
        ids = read_label_map(path, MORE_LABELS)
        label_picture(len(turned) - 1 - ids, turned).save(tmp_path / path.name)
        merged = example_map(tmp_path / path.name, FIGURE_LABELS, (128, 128))
        assert np.array_equal(merged, example_map(path, FIGURE_LABELS, (128, 128)))


@pytest.mark.parametrize(
    "labels", [LabelSet.from_names([f"thing {n}" for n in range(8)]), LabelSet.from_names(["sky", "road"])]
)
def test_other_classes_are_not_served(upright: Path, labels: LabelSet) -> None:
    assert example_maps(upright, labels) == []
    with pytest.raises(ExamplesError, match=r"has maps of the 16 classes .*; the model has the"):
        check_examples(upright, labels, (64, 64))


def test_maps_of_eight_classes_do_not_serve_sixteen_and_are_not_padded(examples: Path) -> None:
    """What a map merges cannot be told apart again; and a wide map of a model's own classes is a mistake."""
    assert example_maps(examples, MORE_LABELS) == []
    assert fitting_maps(examples, FIGURE_LABELS, (128, 64)) == []
    with pytest.raises(ExamplesError, match="other proportions"):
        check_examples(examples, FIGURE_LABELS, (128, 64))


# -- the bundled ones ----------------------------------------------------------------------------------------


def test_the_bundled_maps_are_small_and_of_sixteen_classes() -> None:
    paths = sorted(EXAMPLES.glob("*.png"))
    assert [path.name for path in paths] == [f"example_{number:02}.png" for number in range(1, 13)]
    assert LabelSet.from_file(EXAMPLES / "classes.json") == PEOPLE16
    shown: set[str] = set()
    for path in paths:
        assert path.stat().st_size < 4096
        assert Image.open(path).mode == "P"
        ids = read_label_map(path, PEOPLE16, size=(512, 256))
        shown |= {PEOPLE16.names[class_id] for class_id in np.unique(ids)}
        assert (ids == PEOPLE16.id_of("face")).any()
    assert shown == set(PEOPLE16.names)


def test_they_say_where_they_come_from() -> None:
    for text in (EXAMPLES / "README.md", EXAMPLES.parent / "README.md"):
        words = " ".join(text.read_text(encoding="utf-8").split())
        for fact in ("Clothing Co-Parsing", "Apache-2.0", "W. Yang, P. Luo", "CVPR 2014", "label maps only"):
            assert fact in words


def test_their_script_makes_them_again(tmp_path: Path) -> None:
    raw = shared_folder("raw") / "ccp_all"
    runpy.run_path(str(EXAMPLES / "make_examples.py"))["main"](
        ["--input", str(raw), "--output", str(tmp_path)]
    )
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_bytes() for path in EXAMPLES.iterdir() if path.name in made}
    assert len(made) == 13


def test_their_script_names_what_is_no_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        runpy.run_path(str(EXAMPLES / "make_examples.py"))["main"](
            ["--input", str(tmp_path), "--output", str(tmp_path / "made")]
        )
    assert f"{tmp_path} is not Clothing Co-Parsing" in capsys.readouterr().err


# -- the looks that a model opens with -----------------------------------------------------------------------


def test_a_model_opens_with_the_looks_that_it_names(model: Path, examples: Path, tmp_path: Path) -> None:
    named = [{"map": "example_03.png", "seed": 27}, {"map": "example_01.png", "seed": 5}]
    folder = tmp_path / "model"
    GroupDNet.from_pretrained(model).save_pretrained(folder)
    (folder / "looks.json").write_text(json.dumps(named))
    studio = Studio(str(folder), examples)
    opened = studio.enter(Session())
    assert studio.first_seed == 27
    assert [kept.look.seed for kept in opened.bundled] == [27, 5]
    assert opened.look is opened.bundled[0].look
    assert np.array_equal(opened.look.mask, studio.example(examples / "example_03.png"))
    assert Studio(str(model), examples).opening == [
        *zip(sorted(examples.glob("*.png")), OPENING_SEEDS, strict=False)
    ]


def test_looks_on_maps_that_are_not_there_are_left_out_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """``GROUPDNET_EXAMPLES`` may name another folder than the looks were chosen on."""
    maps = [Path("a.png"), Path("b.png")]
    with caplog.at_level(logging.WARNING):
        assert opening_looks([OpeningLook("c.png", 1), OpeningLook("b.png", 2)], maps) == [(maps[1], 2)]
        assert "c.png" in caplog.text
        assert opening_looks([OpeningLook("c.png", 1)], maps) == [*zip(maps, OPENING_SEEDS, strict=False)]
    assert opening_looks([OpeningLook("c.png", 1)], []) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "not valid JSON"),
        ("{}", r"must be a list of 1 to 8 looks, .*; it is \{\}"),
        ("[]", "must be a list of 1 to 8 looks"),
        (json.dumps([{"map": "a.png", "seed": 1}] * 9), "must be a list of 1 to 8 looks"),
        ('[{"map": "a.png"}]', 'look 1 in looks.json of .* must have the keys "map" and "seed"'),
        ('[{"map": "../a.png", "seed": 1}]', "must be the name of a file, without a folder"),
        ('[{"map": 3, "seed": 1}]', "must be the name of a file"),
        ('[{"map": "a.png", "seed": true}]', "must be a whole number from 0 to 2147483647; it is True"),
        ('[{"map": "a.png", "seed": -1}]', "must be a whole number from 0 to"),
    ],
)
def test_what_is_wrong_with_a_list_of_looks_is_said(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "looks.json").write_text(text)
    with pytest.raises(ValueError, match=expected):
        read_looks(str(tmp_path))


def test_looks_that_are_a_link_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.json").write_text('[{"map": "a.png", "seed": 1}]')
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "looks.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(ValueError, match=r"looks\.json of .* is a link out of its folder"):
        read_looks(str(tmp_path / "model"))


def test_looks_of_a_model_on_the_hub(tmp_path: Path) -> None:
    """And of one that has none, also without a network."""
    script = "import sys; sys.path.append(sys.argv[1]); from page.core.opening_looks import read_looks; " + (
        "from groupdnet_hub.hub.files import find_config; "
        "print([(look.map, look.seed) for name in sys.argv[2:] for look in read_looks(name)], "
        "*(find_config(name).read_text() for name in sys.argv[2:]))"
    )
    hub = FakeHub()
    hub.add("user/named", {"looks.json": b'[{"map": "a.png", "seed": 3}]', "config.json": b"{}"})
    hub.add("user/plain", {"config.json": b"{}"})
    with hub.serving():
        environment = hub.environment(tmp_path)
        for offline in ("0", "1"):
            done = subprocess.run(
                [sys.executable, "-c", script, str(EXAMPLES.parent), "user/named", "user/plain"],
                env={**environment, "HF_HUB_OFFLINE": offline},
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert done.stdout == "[('a.png', 3)] {} {}\n", done.stderr[-2000:]
