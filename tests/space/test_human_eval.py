"""The human evaluation: its questions, answers that many raters give at once, what they come to."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from page.human_eval.answers import Answers, AnswersError
from page.human_eval.pictures import draw_picture
from page.human_eval.scores import scores_of, wilson_interval
from page.human_eval.study import PHOTO, QUESTIONS, Question, make_question
from PIL import Image

from groupdnet_hub import GroupDNet, GroupDNetConfig, GroupDNetPipeline, LabelSet, PairedImages, load_system
from groupdnet_hub.baselines import SYSTEMS, System, build_system, system_config
from groupdnet_hub.data.figure_drawing import draw_figure
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.figures import write_figures
from groupdnet_hub.io.images import tensor_to_picture
from tests.helpers.page_models import MORE_LABELS, save_examples

MAPS = [("a.png", ["background", "hair"]), ("b.png", ["background", "face", "shoes"])]


def question(rater: str, number: int) -> Question:
    return make_question(rater, "she", number, ["one", "two"], MAPS)


def drawn_pair(system: System, question: Question, label: np.ndarray) -> list[Image.Image]:
    return [draw_picture(system, question, label, place) for place in (0, 1)]


def test_a_question_is_the_same_whenever_it_is_made() -> None:
    assert question("r", 3) == question("r", 3)
    assert question("r", 3) != question("s", 3)


def test_models_are_asked_about_equally_often_and_classes_are_on_their_maps() -> None:
    asked = [make_question("r", "she", number, ["a", "b", "c"], MAPS) for number in range(48)]
    assert Counter(one.first for one in asked) == {"a": 16, "b": 16, "c": 16}
    assert (
        len({tuple(one.first for one in asked[i : i + 3]) for i in range(0, 48, 3)}) > 2
    )  # in no fixed order
    assert all(one.first == one.second for one in asked)
    assert all(one.class_ in dict(MAPS)[one.label_map] for one in asked)
    assert {one.class_ for one in asked} == {"background", "hair", "face", "shoes"}


def test_a_pair_differs_by_the_reroll_of_one_class() -> None:
    config = GroupDNetConfig.for_labels(FIGURE_LABELS, image_size=(64, 64), width=4)
    pipe = GroupDNetPipeline(GroupDNet(config))
    label = np.asarray(draw_figure(1, (64, 64))[1])
    firsts = 0
    for number in range(12):
        asked = Question("r", "she", number, "one", "one", "a.png", "hair", 5, 6)
        plain = pipe.sample(label, 5)
        redrawn = pipe.reroll(plain, "hair", 6)
        pair = [np.asarray(one).tobytes() for one in drawn_pair(pipe.model, asked, label)]
        assert set(pair) == {np.asarray(one.image).tobytes() for one in (plain, redrawn)}
        firsts += pair[0] == np.asarray(plain.image).tobytes()
    assert 0 < firsts < 12


@pytest.mark.parametrize("name", [name for name, spec in SYSTEMS.items() if not spec.ablation])
def test_any_system_is_asked_about(name: str) -> None:
    """Drawn from its own codes; those without codes for classes redraw all, and those without any draw the same."""
    config = system_config(name, FIGURE_LABELS, (64, 64), 8, instance_edges=name == "VSPADE")
    system = build_system(config).eval()
    label = np.asarray(draw_figure(1, (64, 64))[1])
    asked = Question("r", "she", 0, name, name, "a.png", "top-clothes", 5, 6)
    one, other = (np.asarray(picture).astype(int) for picture in drawn_pair(system, asked, label))
    again = drawn_pair(system, asked, label)
    assert np.array_equal(one, np.asarray(again[0]))
    assert one.shape == (64, 64, 3)
    codes = system.sample_codes(1, generator=torch.Generator().manual_seed(5))
    assert (one != other).any() == (codes.numel() > 0)


def test_systems_are_mixed_and_kept_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, examples: Path
) -> None:
    """``GROUPDNET_EVALUATION_MODELS`` with the page's model and others: each question's pair is of its own model."""
    pytest.importorskip("gradio", reason="the page needs gradio")
    from page.core.studio import Studio
    from page.human_eval.evaluation import Evaluation

    names = ["GroupDNet", "VSPADE", "BicycleGAN"]
    for name in names:
        built = build_system(system_config(name, FIGURE_LABELS, (64, 64), 8))
        built.save_pretrained(tmp_path / name)
    studio = Studio(str(tmp_path / "GroupDNet"), examples)
    sources = ",".join(str(tmp_path / name) for name in names)
    monkeypatch.setenv("GROUPDNET_EVALUATION_MODELS", sources)
    answers = Answers(tmp_path / "answers.sqlite3")
    evaluation = Evaluation.from_environment(studio, examples, answers)
    asked = [evaluation.question("r", "she", number) for number in range(6)]
    assert Counter(question.first for question in asked) == dict.fromkeys(names, 2)
    for question in asked:
        system = load_system(tmp_path / question.first)
        pair = drawn_pair(system, question, evaluation.maps[question.label_map])
        for shown, expected in zip(evaluation.draw(question)[1:], pair, strict=True):
            assert np.abs(np.asarray(shown).astype(int) - np.asarray(expected)).max() <= 1

    build_system(system_config("SPADE", FIGURE_LABELS, (128, 128), 8)).save_pretrained(tmp_path / "large")
    monkeypatch.setenv("GROUPDNET_EVALUATION_MODELS", f"{sources},{tmp_path / 'large'}")
    with pytest.raises(ValueError, match="the models of she must be of one label set and size; large is not"):
        Evaluation.from_environment(studio, examples, answers)
    monkeypatch.setenv("GROUPDNET_EVALUATION_MODELS", f"{sources},{sources}")
    with pytest.raises(ValueError, match="two models of the evaluation are called GroupDNet"):
        Evaluation.from_environment(studio, examples, answers)
    monkeypatch.delenv("GROUPDNET_EVALUATION_MODELS")
    monkeypatch.setenv("GROUPDNET_EVALUATION_MAPS", str(tmp_path / "nosuch"))
    with pytest.raises(ValueError, match=r"GROUPDNET_EVALUATION_MAPS: .*nosuch holds no label map"):
        Evaluation.from_environment(studio, examples, answers)


def test_pairs_are_asked_about_equally_often_and_at_both_sides() -> None:
    asked = [make_question("r", "preference", number, ["a", "b", "c"], MAPS) for number in range(48)]
    pairs = Counter(frozenset((one.first, one.second)) for one in asked)
    assert pairs == {frozenset(pair): 16 for pair in ("ab", "ac", "bc")}
    assert {one.first for one in asked} == {one.second for one in asked} == {"a", "b", "c"}
    assert {one.class_ for one in asked} == {""}
    asked = [make_question("r", "photo", number, ["a", "b"], [("a.jpg", ())]) for number in range(48)]
    assert Counter(one.first for one in asked)[PHOTO] + Counter(one.second for one in asked)[PHOTO] == 48
    assert 12 < sum(one.first == PHOTO for one in asked) < 36
    assert sum("a" in (one.first, one.second) for one in asked) == 24


def test_models_of_other_classes_and_sizes_are_preferred_on_one_map(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is shown of a wider picture is its middle, and a smaller one is enlarged: size tells nobody the model."""
    pytest.importorskip("gradio", reason="the page needs gradio")
    from page.core.example_maps import example_map
    from page.core.studio import Studio
    from page.human_eval.evaluation import Evaluation

    save_examples(tmp_path / "maps", MORE_LABELS, (128, 64))
    configs = {
        "sixteen": GroupDNetConfig.for_labels(MORE_LABELS, (128, 64), width=16),
        "eight": GroupDNetConfig.for_labels(FIGURE_LABELS, (64, 64), width=4),
    }
    for name, config in configs.items():
        GroupDNet(config).save_pretrained(tmp_path / name)
    monkeypatch.setenv("GROUPDNET_EVALUATION_STUDIES", "preference")
    monkeypatch.setenv("GROUPDNET_EVALUATION_MODELS", ", ".join(str(tmp_path / name) for name in configs))
    studio = Studio(str(tmp_path / "sixteen"), tmp_path / "maps")
    evaluation = Evaluation.from_environment(studio, tmp_path / "maps", Answers(tmp_path / "answers.sqlite3"))
    assert (evaluation.studies, evaluation.size) == (("preference",), (128, 64))
    seen = set()
    for number in range(6):
        asked = evaluation.question("r", "preference", number)
        shown_map, *pair = evaluation.draw(asked)
        assert shown_map is None
        for name, picture in zip((asked.first, asked.second), pair, strict=True):
            config, seed = configs[name], asked.seed
            labels = LabelSet(config.class_names, config.palette)
            label = example_map(tmp_path / "maps" / asked.label_map, labels, config.image_size)
            whole = GroupDNetPipeline.from_pretrained(tmp_path / name).sample(label, seed).image
            if name == "eight":
                whole = whole.crop((16, 0, 48, 64)).resize((64, 128), Image.Resampling.LANCZOS)
            assert np.abs(np.asarray(picture).astype(int) - np.asarray(whole)).max() <= 1
        seen.add(asked.first)
    assert seen == set(configs)
    monkeypatch.setenv("GROUPDNET_EVALUATION_STUDIES", "she")
    with pytest.raises(ValueError, match="the models of she must be of one label set and size; eight is not"):
        Evaluation.from_environment(studio, tmp_path / "maps", Answers(tmp_path / "answers.sqlite3"))
    monkeypatch.setenv("GROUPDNET_EVALUATION_STUDIES", "preference")
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="no example map is of the models' classes"):
        Evaluation.from_environment(studio, tmp_path / "none", Answers(tmp_path / "answers.sqlite3"))
    # Ids of a folder that does not say what they mean would be other classes to the other model.
    (tmp_path / "maps" / "classes.json").unlink()
    monkeypatch.setenv("GROUPDNET_EVALUATION_MAPS", str(tmp_path / "maps"))
    with pytest.raises(ValueError, match="holds no label map"):
        Evaluation.from_environment(studio, tmp_path / "maps", Answers(tmp_path / "answers.sqlite3"))


def test_which_of_two_is_the_photo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, examples: Path) -> None:
    pytest.importorskip("gradio", reason="the page needs gradio")
    from page.core.studio import Studio
    from page.human_eval.evaluation import Evaluation

    write_figures(tmp_path / "data", 3, split="validation", size=(64, 64))
    GroupDNet(GroupDNetConfig.for_labels(FIGURE_LABELS, (64, 64), width=4)).save_pretrained(
        tmp_path / "model"
    )
    studio, answers = Studio(str(tmp_path / "model"), examples), Answers(tmp_path / "answers.sqlite3")
    monkeypatch.setenv("GROUPDNET_EVALUATION_STUDIES", "photo, she")
    with pytest.raises(ValueError, match=r"photo needs photos: .* in GROUPDNET_EVALUATION_PHOTOS"):
        Evaluation.from_environment(studio, examples, answers)
    monkeypatch.setenv("GROUPDNET_EVALUATION_PHOTOS", str(tmp_path / "data"))
    evaluation = Evaluation.from_environment(studio, examples, answers)
    assert evaluation.studies == ("photo", "she")
    with monkeypatch.context() as patched:
        patched.delenv("GROUPDNET_EVALUATION_STUDIES")
        with pytest.raises(
            ValueError, match="_PHOTOS has no effect without photo in GROUPDNET_EVALUATION_STUDIES"
        ):
            Evaluation.from_environment(studio, examples, answers)
    data = PairedImages.from_folder(tmp_path / "data", (64, 64), split="validation")
    photos = {tensor_to_picture(item["image"]).tobytes(): item["label"].numpy() for item in data}
    for number in range(6):
        asked = evaluation.question("r", "photo", number)
        _, *pair = evaluation.draw(asked)
        photo, drawn = pair if asked.first == PHOTO else pair[::-1]
        label = photos[photo.tobytes()]
        expected = GroupDNetPipeline.from_pretrained(tmp_path / "model").sample(label, asked.seed).image
        assert np.abs(np.asarray(drawn).astype(int) - np.asarray(expected)).max() <= 1
    write_figures(tmp_path / "other", 2, split="validation", size=(64, 64))
    LabelSet.from_names([f"thing {n}" for n in range(8)]).to_file(tmp_path / "other" / "classes.json")
    monkeypatch.setenv("GROUPDNET_EVALUATION_PHOTOS", str(tmp_path / "other"))
    with pytest.raises(ValueError, match=r"other has photos of the .*; model has the"):
        Evaluation.from_environment(studio, examples, answers)


@pytest.mark.parametrize(
    ("studies", "match"),
    [
        ("preference", "preference compares models: name two or more in GROUPDNET_EVALUATION_MODELS"),
        ("she,beauty", "is 'she,beauty'; it must name some of she, preference, photo"),
        (",", "must name some of"),
    ],
)
def test_studies_that_cannot_be_asked_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, examples: Path, studies: str, match: str
) -> None:
    pytest.importorskip("gradio", reason="the page needs gradio")
    from page.core.studio import Studio
    from page.human_eval.evaluation import Evaluation

    GroupDNet(GroupDNetConfig.for_labels(FIGURE_LABELS, (64, 64), width=4)).save_pretrained(
        tmp_path / "model"
    )
    monkeypatch.setenv("GROUPDNET_EVALUATION_STUDIES", studies)
    with pytest.raises(ValueError, match=match):
        Evaluation.from_environment(
            Studio(str(tmp_path / "model"), examples), examples, Answers(tmp_path / "answers.sqlite3")
        )


def test_scores_are_of_the_chosen_model_wherever_it_stood() -> None:
    rows = [
        *[
            ("r", "preference", "b", "a", 1),
            ("r", "preference", "a", "b", 0),
            ("s", "preference", "a", "b", 1),
        ],
        *[("r", "photo", PHOTO, "a", 0), ("r", "photo", "a", PHOTO, 0), ("r", "photo", "a", PHOTO, 0)],
        *[("s", "photo", PHOTO, "a", 1), ("r", "she", "a", "a", 1)],
    ]
    found = {
        (one.study, one.model, one.rival): (one.raters, one.answers, one.fraction) for one in scores_of(rows)
    }
    assert found == {
        ("she", "a", ""): (1, 1, 1.0),
        ("preference", "a", "b"): (2, 3, 1 / 3),  # b was preferred twice
        ("photo", "a", ""): (2, 4, 1 / 4),  # taken for the photo once
    }
    assert [key[0] for key in found] == ["she", "preference", "photo"]


def _answer_all(path: str, rater: str) -> int:
    answers = Answers(path)
    return sum(answers.add(question(rater, number), number % 4 != 0) for number in range(QUESTIONS))


def test_many_raters_at_once_lose_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "new" / "answers.sqlite3")
    raters = [f"rater-{n}" for n in range(12)]
    with ThreadPoolExecutor(6) as threads, get_context("spawn").Pool(2) as processes:
        others = processes.starmap_async(_answer_all, [(path, f"other-{n}") for n in range(4)])
        assert list(threads.map(_answer_all, [path] * 12, raters)) == [QUESTIONS] * 12
        assert others.get(timeout=120) == [QUESTIONS] * 4
    rows = sqlite3.connect(path).execute("SELECT COUNT(*), COUNT(DISTINCT rater) FROM answers").fetchone()
    assert rows == (16 * QUESTIONS, 16)
    assert sum(score.answers for score in Answers(path).scores()) == 16 * QUESTIONS
    assert all(Answers(path).next_question(rater, ["she"]) is None for rater in raters)


def test_the_first_answer_counts(tmp_path: Path) -> None:
    answers = Answers(tmp_path / "answers.sqlite3")
    assert answers.next_question("r", ["she", "photo"]) == ("she", 0)
    assert answers.add(question("r", 0), True)
    assert not answers.add(question("r", 0), False)
    assert answers.next_question("r", ["she", "photo"]) == ("she", 1)
    assert answers.next_question("r", ["photo", "she"]) == ("photo", 0)
    (score,) = answers.scores()
    assert (score.model, score.raters, score.answers, score.fraction) == (question("r", 0).first, 1, 1, 1.0)


def test_csv_has_a_line_for_each_answer(tmp_path: Path) -> None:
    answers = Answers(tmp_path / "answers.sqlite3")
    assert answers.scores() == []
    for number in range(3):
        answers.add(question("r", number), number == 1)
    rows = list(csv.DictReader(io.StringIO(answers.as_csv(str.upper))))
    assert [row["answer"] for row in rows] == ["0", "1", "0"]
    for number, row in enumerate(rows):
        asked = question("r", number)
        assert (row["rater"], row["study"], row["number"]) == ("R", "she", str(number))
        assert (row["first"], row["second"]) == (asked.first, asked.second)
        assert (row["class"], row["seed"], row["reroll_seed"]) == (
            asked.class_,
            str(asked.seed),
            str(asked.reroll_seed),
        )


@pytest.mark.parametrize(("yes", "count"), [(0, 50), (8, 10), (41, 50), (50, 50)])
def test_the_interval_is_wilsons(yes: int, count: int) -> None:
    stats = pytest.importorskip("scipy.stats", reason="compares with scipy")
    expected = stats.binomtest(yes, count).proportion_ci(0.95, method="wilson")
    assert wilson_interval(yes, count) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_answers_that_cannot_be_written_are_refused_with_a_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answers = Answers(tmp_path / "file" / "answers.sqlite3")
    with pytest.raises(
        AnswersError, match=r"answers\.sqlite3 cannot be written to .*: free some space there"
    ):
        answers.next_question("rater", ["she"])
