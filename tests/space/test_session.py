"""What each action changes in a visitor's session, and that refusals change nothing."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from page.core import actions, photos
from page.core import session as sessions
from page.core.memory.packed_looks import packed
from page.core.redraw import candidates
from page.core.regions import keep_other_pixels
from page.core.session import CURRENT, MAX_SEED, UNDO_STEPS, Session, ShelfItem
from PIL import Image, ImageFilter

from groupdnet_hub import GroupDNet, GroupDNetConfig, GroupDNetPipeline, LabelSet
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.labels import colour_picture, label_picture
from groupdnet_hub.data.person_frames import Box


def _photo_map(pipeline: GroupDNetPipeline, session: Session, source: Path | np.ndarray) -> np.ndarray:
    brought = photos.bring_map(session, source, pipeline.labels, pipeline.model.config.image_size)
    assert not brought.unknown.any()
    return brought.label


def test_reroll_changes_one_code(pipeline: GroupDNetPipeline, opened: Session) -> None:
    rerolled = actions.reroll(pipeline, opened, "hair", 5)
    old, new = sessions.current(opened).codes, sessions.current(rerolled).codes
    changed = [name for name in FIGURE_LABELS.names if not torch.equal(old.pick(name), new.pick(name))]
    assert changed == ["hair"]


def test_reroll_of_an_absent_class_is_refused(pipeline: GroupDNetPipeline, opened: Session) -> None:
    with pytest.raises(ValueError, match="shoes is not on this label map"):
        actions.reroll(pipeline, opened, "shoes", 5)


def test_actions_without_a_picture_say_so(pipeline: GroupDNetPipeline) -> None:
    for action in (
        lambda: actions.sample(pipeline, Session(), 0),
        lambda: actions.reroll(pipeline, Session(), "hair", 0),
        lambda: sessions.keep(Session()),
        lambda: actions.mix(pipeline, Session(), CURRENT, {"hair": CURRENT}),
    ):
        with pytest.raises(ValueError, match="no picture yet"):
            action()


def test_undo_goes_back_picture_by_picture(pipeline: GroupDNetPipeline, opened: Session) -> None:
    sampled = actions.sample(pipeline, opened, 1)
    rerolled = actions.reroll(pipeline, sampled, "hair", 2)
    back = sessions.undo(rerolled)
    assert back.look is sampled.look
    assert sessions.undo(back).look is opened.look
    with pytest.raises(ValueError, match="no earlier picture"):
        sessions.undo(opened)


def test_only_the_newest_pictures_are_remembered(pipeline: GroupDNetPipeline, opened: Session) -> None:
    made = opened
    for seed in range(UNDO_STEPS + 3):
        made = actions.sample(pipeline, made, seed)
    assert [look.seed for look in made.earlier] == list(range(2, UNDO_STEPS + 2))


def test_redo_and_history_lose_nothing(pipeline: GroupDNetPipeline, opened: Session) -> None:
    third = actions.sample(pipeline, actions.sample(pipeline, opened, 1), 2)
    back = sessions.undo(sessions.undo(third))
    assert sessions.history(back) == sessions.history(third)
    assert sessions.redo(back).look is sessions.history(third)[1].look
    assert sessions.go_to(back, 2).look is third.look
    with pytest.raises(ValueError, match="no later picture"):
        sessions.redo(third)
    with pytest.raises(ValueError, match="no picture 3 in the history"):
        sessions.go_to(third, 3)
    branched = actions.sample(pipeline, back, 9)
    assert [step.look for step in sessions.history(branched)] == [opened.look, branched.look]


def test_candidates_are_rerolls_of_four_seeds(pipeline: GroupDNetPipeline, opened: Session) -> None:
    drawn = candidates.of_class(pipeline, opened, "hair", MAX_SEED - 1)
    assert drawn.look is opened.look
    assert [look.seed for look in drawn.candidates] == [MAX_SEED - 1, MAX_SEED, 0, 1]
    one = actions.reroll(pipeline, opened, "hair", 0)
    assert np.array_equal(np.asarray(drawn.candidates[2].image), np.asarray(sessions.current(one).image))
    picked = candidates.pick(candidates.pick(drawn, 1), 3)
    assert picked.look is drawn.candidates[3]
    assert sessions.undo(picked).look is opened.look  # trying them is one step
    with pytest.raises(ValueError, match="no candidate 4"):
        candidates.pick(drawn, 4)
    with pytest.raises(ValueError, match="no candidates"):
        candidates.pick(actions.sample(pipeline, drawn, 3), 0)


def test_locked_classes_keep_their_codes(pipeline: GroupDNetPipeline, opened: Session) -> None:
    locked = sessions.lock(opened, FIGURE_LABELS, ["hair", "face"])
    sampled = actions.sample(pipeline, locked, 5)
    old, new = sessions.current(opened).codes, sessions.current(sampled).codes
    free = pipeline.sample(sessions.current(opened).mask, seed=5).codes
    for name in FIGURE_LABELS.names:
        expected = old if name in ("hair", "face") else free
        assert torch.equal(new.pick(name), expected.pick(name))
    with pytest.raises(ValueError, match="hair is locked"):
        candidates.of_class(pipeline, locked, "hair", 0)
    with pytest.raises(ValueError, match="leave at least one"):
        sessions.lock(opened, FIGURE_LABELS, FIGURE_LABELS.names)
    with pytest.raises(ValueError, match="did you mean 'hair'"):
        sessions.lock(opened, FIGURE_LABELS, ["hairs"])
    with pytest.raises(ValueError, match="must be a list of their names"):
        sessions.lock(opened, FIGURE_LABELS, 5)  # type: ignore[arg-type]


def test_keep_other_pixels_changes_nothing_outside_and_ramps_up_inside() -> None:
    region = np.zeros((80, 80), bool)
    region[20:60, 30:] = True
    before, after = Image.new("RGB", (80, 80), (10, 20, 30)), Image.new("RGB", (80, 80), (250, 120, 0))
    kept = np.asarray(keep_other_pixels(before, after, region))
    assert (kept[~region] == (10, 20, 30)).all()
    assert (kept[40, 60] == (250, 120, 0)).all()
    assert (np.diff(kept[40, 28:36, 0].astype(int)) >= 0).all()
    assert 10 < kept[40, 30, 0] < 250  # blended at the edge
    assert (kept[40, 79] == (250, 120, 0)).all()  # the picture's border is none
    assert np.array_equal(np.asarray(keep_other_pixels(before, after, region & False)), np.asarray(before))


def test_a_reroll_that_keeps_pixels(pipeline: GroupDNetPipeline, opened: Session) -> None:
    look = sessions.current(opened)
    kept = sessions.current(actions.reroll(pipeline, opened, "top-clothes", 3, keep_pixels=True))
    free = sessions.current(actions.reroll(pipeline, opened, "top-clothes", 3))
    top = look.mask == FIGURE_LABELS.id_of("top-clothes")
    old, new = np.asarray(look.image), np.asarray(kept.image)
    assert np.array_equal(old[~top], new[~top])
    assert (old[top] != new[top]).any()
    assert torch.equal(kept.codes.tensor, free.codes.tensor)


def test_painting_keeps_the_codes(pipeline: GroupDNetPipeline, opened: Session) -> None:
    look = sessions.current(opened)
    label = look.mask.copy()
    label[:10] = FIGURE_LABELS.id_of("shoes")
    edited = sessions.current(actions.edit(pipeline, opened, label))
    assert torch.equal(edited.codes.tensor, look.codes.tensor)
    assert np.array_equal(edited.mask, label)
    assert (np.asarray(edited.image)[:10] != np.asarray(look.image)[:10]).any()


def test_mix_takes_each_class_from_its_look(pipeline: GroupDNetPipeline, opened: Session) -> None:
    bundled = ShelfItem("example 1", packed(pipeline.sample(sessions.current(opened).mask, seed=77)))
    kept = sessions.replace(sessions.keep(opened), bundled=(bundled,))
    sampled = actions.sample(pipeline, kept, 9)
    sources = {"top-clothes": "look 1", "hair": "example 1", "face": CURRENT}
    codes = sessions.current(actions.mix(pipeline, sampled, CURRENT, sources)).codes
    for name in FIGURE_LABELS.names:
        look = {"top-clothes": opened.look, "hair": bundled.look}.get(name, sampled.look)
        assert torch.equal(codes.pick(name), look.codes.pick(name))
    with pytest.raises(ValueError, match="look 2"):
        actions.mix(pipeline, sampled, CURRENT, {"hair": "look 2"})
    with pytest.raises(ValueError, match="at least one class"):
        actions.mix(pipeline, sampled, CURRENT, {})
    with pytest.raises(ValueError, match="nothing is taken"):
        actions.mix(pipeline, kept, CURRENT, {"hair": CURRENT})
    # The kept look is the picture itself: mixed with it, nothing changes and nothing is added.
    unchanged = actions.mix(pipeline, kept, CURRENT, {"hair": "look 1"})
    assert unchanged.look is kept.look
    assert unchanged.earlier == ()


def test_mix_is_on_the_map_of_the_base_and_of_classes_that_both_show(
    pipeline: GroupDNetPipeline, opened: Session, examples: Path
) -> None:
    kept = sessions.keep(opened)
    other = actions.open_map(pipeline, kept, examples / "example_04.png", 3)
    mixed = actions.mix(pipeline, other, "look 1", {"hair": CURRENT})
    assert np.array_equal(sessions.current(mixed).mask, sessions.current(opened).mask)
    shared = sessions.mixable(sessions.current(opened), sessions.current(other))
    assert "bottom-clothes" not in shared
    assert "shoes" not in shared
    with pytest.raises(ValueError, match="shoes is not on the label maps of both look 1 and current"):
        actions.mix(pipeline, other, "look 1", {"shoes": CURRENT})


def test_morph_goes_from_one_look_to_the_other_and_beyond(
    pipeline: GroupDNetPipeline, opened: Session
) -> None:
    other = actions.sample(pipeline, sessions.keep(opened), 9)
    first, second = sessions.current(opened).codes, sessions.current(other).codes
    for t in (-0.5, 0.0, 0.3, 1.0, 1.5):
        codes = actions.between(pipeline, other, "look 1", CURRENT, t, ["hair"]).codes
        assert torch.allclose(
            codes.pick("hair"), torch.lerp(first.pick("hair"), second.pick("hair"), t), atol=1e-5
        )
        assert torch.equal(codes.pick("face"), first.pick("face"))
    film = actions.morph_frames(pipeline, other, "look 1", CURRENT, [0.0, 1.0])
    assert np.array_equal(np.asarray(film[0]), np.asarray(sessions.current(opened).image))
    assert np.array_equal(np.asarray(film[1]), np.asarray(sessions.current(other).image))
    for t in (1.6, float("nan"), None):
        with pytest.raises(ValueError, match=r"from -0\.5 to 1\.5"):
            actions.morph(pipeline, other, "look 1", CURRENT, t)
    with pytest.raises(ValueError, match="at least one class"):
        actions.morph(pipeline, other, "look 1", CURRENT, 0.5, [])


def test_a_photo_and_its_map_are_cropped_alike(
    pipeline: GroupDNetPipeline, opened: Session, tmp_path: Path
) -> None:
    label = np.zeros((120, 80), np.int64)
    label[30:70] = 1
    label_picture(label, FIGURE_LABELS).save(tmp_path / "map.png")
    pixels = np.random.default_rng(0).integers(0, 256, (240, 160, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    put = photos.put_photo(pipeline, opened, tmp_path / "photo.png", Box(0, 40, 160, 160))
    assert np.array_equal(np.asarray(photos.photo_of(put).picture), pixels[40:200])
    read = _photo_map(pipeline, put, tmp_path / "map.png")
    assert read.shape == (64, 64)
    rows = (2 * np.arange(64) + 1) * 80 // 128 + 20
    assert np.array_equal(read[:, 0] == 1, (rows >= 30) & (rows < 70))
    encoded = photos.encode(pipeline, put, read)
    assert [kept.name for kept in encoded.shelf] == ["photo 1"]
    expected = pipeline.encode(pixels[40:200], read)
    assert torch.equal(encoded.shelf[0].look.codes.tensor, expected.codes.tensor)
    assert encoded.look is opened.look
    with pytest.raises(ValueError, match="no photo yet"):
        _photo_map(pipeline, opened, tmp_path / "map.png")


def test_a_photo_and_its_map_are_turned_alike(
    pipeline: GroupDNetPipeline, opened: Session, tmp_path: Path
) -> None:
    label = np.zeros((80, 120), np.int64)
    label[:, 60:] = 1
    exif = Image.Exif()
    exif[0x0112] = 6
    label_picture(label, FIGURE_LABELS).save(tmp_path / "map.png")
    label_picture(label, FIGURE_LABELS).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(np.zeros((80, 120, 3), np.uint8)).save(tmp_path / "photo.jpg", exif=exif)
    put = photos.put_photo(pipeline, opened, tmp_path / "photo.jpg", Box(0, 20, 80, 80))
    read = _photo_map(pipeline, put, tmp_path / "turned.png")
    assert np.array_equal(read, (np.arange(64) >= 32)[:, None].repeat(64, 1))
    assert photos.bring_map(put, tmp_path / "turned.png", pipeline.labels, (64, 64)).doubt is None
    with pytest.raises(
        ValueError, match="photo is turned by its EXIF orientation 6 and the label map is not"
    ):
        _photo_map(pipeline, put, tmp_path / "map.png")
    exif[0x0112] = 3
    Image.fromarray(np.zeros((80, 120, 3), np.uint8)).save(tmp_path / "photo.jpg", exif=exif)
    put = photos.put_photo(pipeline, opened, tmp_path / "photo.jpg")
    brought = photos.bring_map(put, tmp_path / "map.png", pipeline.labels, (64, 64))
    assert "sizes do not tell" in str(brought.doubt)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        photos.encode(pipeline, put, read)


@pytest.mark.parametrize("box", [Box(30, 10, 50, 50), Box(-40, -25, 200, 200), Box(120, 90, 60, 60)])
def test_a_photo_and_its_map_are_cropped_to_one_frame_which_may_leave_the_photo(
    pipeline: GroupDNetPipeline, opened: Session, box: Box
) -> None:
    """The photo is painted in the colours of its map, so that one can be told from the other."""
    label = np.random.default_rng(0).integers(0, 8, (4, 5)).repeat(30, 0).repeat(32, 1)
    put = photos.put_photo(pipeline, opened, colour_picture(label, FIGURE_LABELS), box)
    assert photos.photo_of(put).picture.size == (box.width, box.height)
    seen = photos.photo_of(put).picture.resize((64, 64), Image.Resampling.NEAREST)
    rows, columns = (
        start + (np.arange(64) * side) // 64 for start, side in ((box.top, box.height), (box.left, box.width))
    )
    inside = ((rows >= 0) & (rows < 120))[:, None] & ((columns >= 0) & (columns < 160))
    for scale in (1, 2):
        read = _photo_map(pipeline, put, label.repeat(scale, 0).repeat(scale, 1))
        assert (read[~inside] == 0).all()
        same = (np.asarray(colour_picture(read, FIGURE_LABELS)) == np.asarray(seen)).all(axis=2)
        assert same[inside].mean() > 0.9


def test_a_large_photo_is_kept_smaller(pipeline: GroupDNetPipeline, opened: Session) -> None:
    put = photos.put_photo(pipeline, opened, Image.new("RGB", (1200, 900)))
    assert photos.photo_of(put).picture.size == (256, 256)
    assert photos.photo_of(put).box == Box(0, -150, 1200, 1200)


def test_a_person_is_cut_out_of_the_street(pipeline: GroupDNetPipeline, opened: Session) -> None:
    """Nothing outside the map counts for the look, but a pixel or two around its outline."""
    look = sessions.current(opened)
    pixels = np.asarray(look.image.resize((256, 256)))
    large = np.asarray(look.mask).repeat(4, 0).repeat(4, 1)
    street = np.random.default_rng(0).integers(0, 256, pixels.shape, dtype=np.uint8)
    near = Image.fromarray((large != 0).astype(np.uint8)).filter(ImageFilter.MaxFilter(9))
    other = np.where((np.asarray(near) == 0)[..., None], street, pixels)
    looks = [
        photos.encode(pipeline, photos.put_photo(pipeline, opened, Image.fromarray(one)), look.mask, cut)
        .shelf[0]
        .look
        for one, cut in ((pixels, True), (other, True), (pixels, False), (other, False))
    ]
    assert torch.equal(looks[0].codes.pick("top-clothes"), looks[1].codes.pick("top-clothes"))
    assert torch.equal(looks[0].codes.pick("background"), looks[1].codes.pick("background"))
    assert not torch.equal(looks[2].codes.pick("background"), looks[3].codes.pick("background"))
    put = photos.put_photo(pipeline, opened, Image.fromarray(pixels))
    with pytest.raises(ValueError, match="the map is empty: paint the person"):
        photos.encode(pipeline, put, np.zeros((64, 64), np.int64), True)


def test_pictures_of_the_model_itself_can_be_tried_as_photos(
    pipeline: GroupDNetPipeline, opened: Session
) -> None:
    looks = tuple(
        ShelfItem(f"example {n}", packed(pipeline.sample(sessions.current(opened).mask, seed=n)))
        for n in range(8)
    )
    made = sessions.replace(opened, bundled=looks)
    offered = photos.examples(made)
    assert [kept.name for kept in offered] == ["example 0", "example 2", "example 4", "example 6"]
    put = photos.put_example(made, 2)
    assert photos.photo_of(put).picture.tobytes() == offered[2].look.image.tobytes()
    kept = photos.encode(pipeline, put, offered[2].look.mask)
    assert np.array_equal(kept.shelf[0].look.mask, offered[2].look.mask)
    assert photos.examples(sessions.replace(opened, bundled=looks[:2])) == looks[:2]
    with pytest.raises(ValueError, match="no example 4"):
        photos.put_example(made, 4)


def test_a_photo_is_known_again(pipeline: GroupDNetPipeline, opened: Session, tmp_path: Path) -> None:
    for name, colour in (("one.png", (1, 2, 3)), ("other.png", (1, 2, 4))):
        Image.new("RGB", (90, 60), colour).save(tmp_path / name)
    assert not photos.is_photo_of(opened, tmp_path / "one.png")
    put = photos.put_photo(pipeline, opened, tmp_path / "one.png", Box(0, 0, 20, 20))
    assert photos.is_photo_of(put, tmp_path / "one.png")
    assert not photos.is_photo_of(put, tmp_path / "other.png")


def test_a_kept_look_comes_back(pipeline: GroupDNetPipeline, opened: Session) -> None:
    sampled = actions.sample(pipeline, sessions.keep(opened), 4)
    back = sessions.take_back(sampled, "look 1")
    assert back.look is opened.look
    assert sessions.undo(back).look is sampled.look


def test_sessions_are_values(pipeline: GroupDNetPipeline, opened: Session) -> None:
    before = sessions.current(opened)
    actions.sample(pipeline, opened, 3)
    sessions.keep(opened)
    assert sessions.current(opened) is before
    assert opened.shelf == opened.earlier == ()


def test_looks_of_another_model_are_refused_by_every_action(
    pipeline: GroupDNetPipeline, opened: Session
) -> None:
    """Even where only their label map is used: its ids are other classes here, and it would be drawn all the same."""
    others = LabelSet.from_names(("sky", "road", "car"))
    model = GroupDNet(GroupDNetConfig.for_labels(others, image_size=(64, 64), width=4))
    foreign = GroupDNetPipeline(model).sample(np.arange(64 * 64).reshape(64, 64) % 3, seed=0)
    shown = sessions.replace(
        opened, look=foreign, bundled=(ShelfItem("own", packed(sessions.current(opened))),)
    )
    kept = sessions.replace(opened, shelf=(ShelfItem("look 1", packed(foreign)),))
    for action in (
        lambda: actions.sample(pipeline, shown, 1),
        lambda: actions.sample(pipeline, sessions.replace(shown, locked=("hair",)), 1),
        lambda: actions.reroll(pipeline, shown, "hair", 1),
        lambda: candidates.of_class(pipeline, shown, "hair", 1),
        lambda: actions.edit(pipeline, shown, np.zeros((64, 64), np.int64)),
        lambda: actions.mix(pipeline, shown, CURRENT, {"hair": "own"}),
        lambda: actions.mix(pipeline, kept, CURRENT, {"hair": "look 1"}),
        lambda: actions.morph(pipeline, shown, CURRENT, "own", 0.5),
        lambda: actions.morph(pipeline, kept, CURRENT, "look 1", 0.5),
        lambda: actions.morph_frames(pipeline, kept, "look 1", CURRENT, [0.5]),
    ):
        with pytest.raises(
            ValueError, match="has the 3 classes sky, road, car; this model has the 8 classes backg"
        ):
            action()


@pytest.mark.parametrize("value", [None, -1, MAX_SEED + 1, 0.5, float("nan"), float("inf")])
def test_seeds_outside_are_refused(value: float | None) -> None:
    with pytest.raises(ValueError, match=f"whole number from 0 to {MAX_SEED}"):
        sessions.checked_seed(value)


def test_seeds(pipeline: GroupDNetPipeline) -> None:
    assert sessions.checked_seed(7.0) == 7
    assert sessions.checked_seed(MAX_SEED) == MAX_SEED
