"""How the page starts, what it loads and when, and what it offers to programs."""

from __future__ import annotations

import pickle
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from groupdnet_hub import GroupDNet, GroupDNetConfig, GroupDNetPipeline, LabelSet
from groupdnet_hub.baselines import build_system, system_config
from groupdnet_hub.data.figure_drawing import draw_figure
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.label_maps import read_label_map
from tests.helpers.shared_data import ROOT

pytest.importorskip("gradio", reason="the page needs gradio")

import app
from page.core import actions, photos
from page.core import session as sessions
from page.core.lazy_model import read_config
from page.core.redraw import candidates
from page.core.served_files import served_picture
from page.core.session import Session
from page.core.studio import Studio
from page.human_eval.answers import Answers
from page.human_eval.evaluation import Evaluation
from PIL import Image

from tests.helpers.page_models import MORE_LABELS, save_examples

SPACE = ROOT / "space"
ENDPOINTS = (
    "open_map sample reroll candidates colour_wish nine_samples pick at_strength lock edit undo redo keep looks show "
    "mix morph film parse encode save_work open_work"
)


def tiny_studio(folder: Path, labels: LabelSet, examples: Path) -> Studio:
    config = GroupDNetConfig.for_labels(labels, image_size=(64, 64), width=4)
    GroupDNet(config).save_pretrained(folder)
    return Studio(str(folder), examples)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, examples: Path) -> Studio:
    return tiny_studio(tmp_path_factory.mktemp("model"), FIGURE_LABELS, examples)


# -- the page ------------------------------------------------------------------------------------------------


def test_whatever_changes_a_session_has_one_worker(studio: Studio) -> None:
    """Two changes at once would start from the same session, and one would be lost."""
    page = app.build_page(studio)
    changing = [
        event
        for event in page.fns.values()
        if any(isinstance(getattr(part, "value", None), Session) for part in event.outputs)
    ]
    assert len(changing) > 30
    assert {event.concurrency_id for event in changing} == {"model"}
    assert {event.concurrency_limit for event in changing} == {1}
    # What changes no session lets others pass: films, and what draws or reads in pieces before a change.
    others = [event.concurrency_id for event in page.fns.values() if event not in changing]
    assert others.count("films") == 2
    slow = {event.name for event in page.fns.values() if event.concurrency_id == "pieces"}
    assert slow >= {"on_nine", "on_wish", "read", "read_frame", "on_preview"}


def test_every_action_is_an_endpoint_and_nothing_else_is_public(studio: Studio) -> None:
    named = app.build_page(studio).get_api_info()["named_endpoints"]
    assert set(named) == {f"/{name}" for name in ENDPOINTS.split()}
    names = [parameter["parameter_name"] for parameter in named["/reroll"]["parameters"]]
    assert names == ["class_name", "seed", "keep_pixels"]


def test_the_endpoints_are_all_described() -> None:
    readme = (SPACE / "README.md").read_text(encoding="utf-8")
    assert [name for name in ENDPOINTS.split() if f"`/{name}`" not in readme] == []


def test_the_model_is_loaded_when_it_is_needed(tmp_path: Path, examples: Path) -> None:
    studio = tiny_studio(tmp_path, FIGURE_LABELS, examples)
    app.build_page(studio)
    assert not studio.model.is_loaded
    opened = studio.enter(Session())
    assert studio.model.is_loaded
    assert opened.look is opened.bundled[0].look
    assert [kept.name for kept in opened.bundled] == [f"example {i}" for i in range(1, 9)]
    assert studio.enter(opened) is opened


@pytest.mark.parametrize("names", [["sky", "road", "car"], [f"label-{n}" for n in range(20)]])
def test_a_model_of_other_classes_gets_no_examples(tmp_path: Path, names: list[str], examples: Path) -> None:
    """Nor does the evaluation, though the ids of the maps are ids of other classes as well."""
    other = tiny_studio(tmp_path, LabelSet.from_names(names), examples)
    assert not Evaluation.from_environment(other, examples, Answers(tmp_path / "answers.sqlite3")).maps
    assert other.examples == []
    assert other.enter(Session()) == Session()
    assert app.build_page(other).blocks


def test_examples_come_with_their_classes_and_are_offered_to_models_of_these(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """``GROUPDNET_EXAMPLES``: sixteen classes, upright; the bundled maps are not, and are then not offered."""
    GroupDNet(GroupDNetConfig.for_labels(MORE_LABELS, (128, 64), width=4)).save_pretrained(tmp_path / "model")
    paths = save_examples(tmp_path / "maps", MORE_LABELS, (128, 64))
    monkeypatch.setenv("GROUPDNET_MODEL", str(tmp_path / "model"))
    monkeypatch.setenv("GROUPDNET_EXAMPLES", str(tmp_path / "maps"))
    studio = app.open_studio()
    assert studio.examples == paths
    opened = studio.enter(Session())
    assert sessions.current(opened).image.size == (64, 128)
    assert np.array_equal(sessions.current(opened).mask, read_label_map(paths[0], MORE_LABELS))
    evaluation = Evaluation.from_environment(
        studio, studio.examples_folder, Answers(tmp_path / "answers.sqlite3")
    )
    assert list(evaluation.maps) == [path.name for path in paths]
    assert evaluation.size == (128, 64)


@pytest.fixture
def more_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make a folder ``models`` with one of sixteen classes, as if it lay beside ``app.py``."""
    more = tmp_path / "space" / "models"
    config = GroupDNetConfig.for_labels(MORE_LABELS, (64, 32), width=4)
    GroupDNet(config).save_pretrained(more / "upright")
    (more / "no-model-yet").mkdir()
    monkeypatch.setattr(app, "MORE_MODELS", more)
    monkeypatch.delenv("GROUPDNET_MODEL", raising=False)
    monkeypatch.setenv("GROUPDNET_PARSER", "none")
    return more


def test_further_models_have_pages_and_are_loaded_when_they_are_visited(
    studio: Studio, more_models: Path
) -> None:
    """One worker for all, so that two models never draw at once; the endpoints are the first model's."""
    more = app.open_more_studios()
    assert list(more) == ["upright"]
    assert more["upright"].labels == MORE_LABELS
    page = app.build_page(studio, more=more)
    assert [(path, name) for path, name, _ in page.pages][1:] == [
        ("upright", "16 classes, 64 x 32"),
        ("programs", "For programs"),
    ]
    assert not more["upright"].model.is_loaded
    assert set(page.get_api_info()["named_endpoints"]) == {f"/{name}" for name in ENDPOINTS.split()}
    changing = [
        event
        for event in page.fns.values()
        if any(isinstance(getattr(part, "value", None), Session) for part in event.outputs)
    ]
    assert {(event.concurrency_id, event.concurrency_limit) for event in changing} == {("model", 1)}


def test_a_model_that_is_named_is_alone(monkeypatch: pytest.MonkeyPatch, more_models: Path) -> None:
    """By its folder's name, too, wherever the page is started."""
    monkeypatch.setenv("GROUPDNET_MODEL", "upright")
    assert app.open_more_studios() == {}
    assert app.open_studio().source == str(more_models / "upright")
    monkeypatch.setattr(app, "HERE", more_models.parent)
    monkeypatch.setenv("GROUPDNET_MODEL", "space/models/upright")
    assert app.open_studio().source == str(more_models / "upright")


def no_classes(folder: Path) -> None:
    (folder / "classes.json").unlink()


def other_classes(folder: Path) -> None:
    LabelSet.from_names([f"thing {n}" for n in range(8)]).to_file(folder / "classes.json")


def unreadable_classes(folder: Path) -> None:
    (folder / "classes.json").write_text("[]")


def other_proportions(folder: Path) -> None:
    Image.new("P", (64, 32)).save(folder / "example_07.png")


def no_maps(folder: Path) -> None:
    for path in folder.glob("*.png"):
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (no_classes, r"has no classes\.json, .*LabelSet\.to_file"),
        (other_classes, r"the 8 classes thing 0, .*; the model has the 8 classes background, hair"),
        (unreadable_classes, r"classes\.json is not a list of classes"),
        (other_proportions, r"example_07\.png: the label map is 32x64 .* other proportions"),
        (no_maps, "holds no label maps"),
    ],
)
def test_examples_that_were_asked_for_and_do_not_fit_are_named(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spoil: Any, expected: str
) -> None:
    save_examples(tmp_path / "maps")
    spoil(tmp_path / "maps")
    monkeypatch.setenv("GROUPDNET_MODEL", studio.source)
    monkeypatch.setenv("GROUPDNET_EXAMPLES", str(tmp_path / "maps"))
    with pytest.raises(
        SystemExit, match=rf"The example maps \(GROUPDNET_EXAMPLES\) cannot be used: .*{expected}"
    ):
        app.main()


def test_a_refusal_is_a_sentence_and_no_trace(studio: Studio) -> None:
    import gradio as gr

    def refuse(pipeline: Any) -> None:
        raise ValueError("there is no such class.")

    with pytest.raises(gr.Error) as refused:
        studio.run(refuse)
    assert refused.value.message == "There is no such class."
    assert not refused.value.print_exception


def test_a_model_that_cannot_be_loaded_names_no_path_to_visitors(tmp_path: Path, examples: Path) -> None:
    import gradio as gr

    broken = tiny_studio(tmp_path / "secret-place", FIGURE_LABELS, examples)
    weights = tmp_path / "secret-place" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(gr.Error) as refused:
        broken.enter(Session())
    assert refused.value.message == "The model cannot be loaded; the log of the page says why."
    assert not refused.value.print_exception


def test_a_model_with_instance_edges_draws_them_where_classes_meet(tmp_path: Path, examples: Path) -> None:
    """The page has no instance maps, and the codes and maps of its looks still fit each other."""
    config = GroupDNetConfig.for_labels(FIGURE_LABELS, image_size=(64, 64), width=4, instance_edges=True)
    GroupDNet(config).save_pretrained(tmp_path / "model")
    studio = Studio(str(tmp_path / "model"), examples)
    pipe = studio.model.loaded
    photo, label = draw_figure(1, (64, 64))
    photo.save(tmp_path / "photo.png")
    label = np.asarray(label)
    other = read_label_map(examples / "example_02.png", FIGURE_LABELS, size=(64, 64), resize=True)

    def same(made: Session, expected: Any) -> None:
        assert np.array_equal(np.asarray(sessions.current(made).image), np.asarray(expected.image))

    made = studio.run(actions.open_map, studio.enter(Session()), label, 5)
    opened = pipe.sample(label, 5, instance=label)
    same(made, opened)
    assert not np.array_equal(
        np.asarray(opened.image), np.asarray(pipe.sample(label, 5, instance=np.zeros_like(label)).image)
    )
    same(studio.run(actions.sample, made, 6), pipe.sample(label, 6, instance=label))
    same(studio.run(actions.reroll, made, "hair", 6), pipe.reroll(opened, "hair", 6))
    same(studio.run(actions.edit, made, other), pipe.edit(opened, other, instance=other))
    put = studio.run(photos.put_photo, made, tmp_path / "photo.png")
    kept = sessions.take_back(studio.run(photos.encode, put, label), "photo 1")
    same(kept, pipe.encode(photo, label, instance=label))
    same(
        studio.run(actions.mix, kept, "current", {"hair": "example 2"}),
        pipe.mix(label, {"hair": made.named("example 2")}, base=sessions.current(kept), instance=label),
    )


def test_a_missing_model_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GROUPDNET_MODEL", str(tmp_path / "nowhere"))
    with pytest.raises(SystemExit, match=r"The model cannot be loaded: .*nowhere"):
        app.main()
    monkeypatch.delenv("GROUPDNET_MODEL")
    monkeypatch.setattr(app, "HERE", tmp_path)
    with pytest.raises(SystemExit, match="GROUPDNET_MODEL"):
        app.main()


def test_a_file_that_others_may_read_is_not_written_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two sessions may show the same picture at once."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "new"))
    picture = draw_figure(1, (64, 64))[0]
    path = Path(served_picture(picture))
    assert np.array_equal(np.asarray(Image.open(path)), np.asarray(picture))
    path.write_bytes(b"as it was")
    assert served_picture(picture) == str(path)
    assert path.read_bytes() == b"as it was"
    assert served_picture(draw_figure(2, (64, 64))[0]) != str(path)


def test_another_system_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    build_system(system_config("VSPADE", FIGURE_LABELS, (64, 64), 8)).save_pretrained(tmp_path / "other")
    monkeypatch.setenv("GROUPDNET_MODEL", str(tmp_path / "other"))
    with pytest.raises(SystemExit, match="is a VSPADE, which has no codes for single classes"):
        app.main()


def test_a_port_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_SERVER_PORT", "no port")
    with pytest.raises(SystemExit, match=r"GRADIO_SERVER_PORT is 'no port'; it must be a port number"):
        runpy.run_path(str(SPACE / "app.py"))


def test_without_gradio_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(SystemExit, match=r"groupdnet-hub\[space\]"):
        runpy.run_path(str(SPACE / "app.py"))


def test_what_goes_to_a_zero_gpu_and_back_can_be_pickled(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, examples: Path
) -> None:
    """ZeroGPU runs a decorated function in another process, and wants the model loaded before."""
    runs = []

    def lent(function: Any) -> Any:
        def wrapped(*arguments: Any) -> Any:
            assert lending.model.is_loaded
            runs.append(arguments[0])
            return pickle.loads(pickle.dumps(function(*pickle.loads(pickle.dumps(arguments)))))

        return wrapped

    monkeypatch.setattr("page.core.lazy_model.on_gpu", lent)
    lending = Studio(studio.source, examples)
    made = lending.enter(Session())
    photo, label = draw_figure(1, (64, 64))
    photo.save(tmp_path / "photo.png")
    label = np.asarray(label)
    made = lending.run(actions.sample, made, 3)
    made = candidates.pick(lending.run(candidates.of_class, made, "hair", 4), 1)
    made = lending.run(actions.edit, made, label)
    made = lending.run(actions.mix, made, "current", {"hair": "example 2"})
    made = lending.run(actions.morph, made, "current", "example 3", 1.5, ["hair"])
    made = lending.run(photos.put_photo, made, tmp_path / "photo.png")
    made = lending.run(photos.encode, made, label)
    assert len(lending.run(actions.morph_frames, made, "photo 1", "current", [0.0, 1.0])) == 2
    evaluation = Evaluation.from_environment(lending, examples, Answers(tmp_path / "answers.sqlite3"))
    assert len(evaluation.draw(evaluation.question("r", "she", 0))) == 3
    assert len(runs) == 11
    assert [len(sessions.history(made)), len(made.shelf)] == [6, 1]


def test_in_bfloat16_it_draws_the_same_but_for_rounding(studio: Studio, examples: Path) -> None:
    """The precision that is used on a GPU."""
    halved = GroupDNetPipeline.from_pretrained(studio.source, dtype=torch.bfloat16)
    for action in (
        lambda pipe: pipe.sample(examples / "example_01.png", seed=3),
        lambda pipe: pipe.encode(draw_figure(1, (64, 64))[0], np.asarray(draw_figure(1, (64, 64))[1])),
    ):
        exact, rounded = (
            np.asarray(action(pipe).image).astype(int) for pipe in (studio.model.loaded, halved)
        )
        assert 0 < np.abs(exact - rounded).mean() < 6


# -- the configuration ---------------------------------------------------------------------------------------


def test_a_save_that_was_stopped_half_way_is_read_as_the_model_would_be(tmp_path: Path) -> None:
    """The last save was decided and not all of its files have been moved: the new configuration counts."""
    for name, width in (("old", 4), ("new", 8)):
        config = GroupDNetConfig.for_labels(FIGURE_LABELS, image_size=(64, 64), width=width)
        GroupDNet(config).save_pretrained(tmp_path / name)
    (tmp_path / "new").rename(tmp_path / "old" / ".saved")
    assert read_config(str(tmp_path / "old")) == GroupDNet.from_pretrained(tmp_path / "old").config
    assert read_config(str(tmp_path / "old")).blocks[-1].out_channels == 8


def test_a_configuration_is_looked_for_as_a_model_is(tmp_path: Path) -> None:
    """Under one rule of what is a folder and what a Hub id."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for source, expected in (
        (tmp_path / "empty", r"empty has no config\.json: was it saved with save_pretrained"),
        (tmp_path / "file", "file is a file: name the folder"),
        (tmp_path / "missing", "there is no folder .*missing'"),
        ("user/name/more", "there is no folder 'user/name/more': check the path, or name a model of the Hub"),
        ("", "there is no folder ''"),
    ):
        for find in (read_config, GroupDNet.from_pretrained):
            with pytest.raises(FileNotFoundError, match=expected):
                find(str(source))


def test_a_configuration_that_is_a_link_out_of_its_folder_is_refused(tmp_path: Path, examples: Path) -> None:
    tiny_studio(tmp_path / "model", FIGURE_LABELS, examples)
    (tmp_path / "model" / "config.json").rename(tmp_path / "elsewhere.json")
    (tmp_path / "model" / "config.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(ValueError, match="out of"):
        read_config(str(tmp_path / "model"))
