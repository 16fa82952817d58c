"""The pipeline with a small random network: which codes change, which stay, and what is refused."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from groupdnet_hub import GroupDNet, GroupDNetConfig, GroupDNetPipeline, LabelSet, Look, grow
from groupdnet_hub.io.archives import archive_of

LABELS = LabelSet.from_names(("sky", "house", "road", "car"))


@pytest.fixture(scope="module")
def pipe() -> GroupDNetPipeline:
    config = GroupDNetConfig.for_labels(LABELS, image_size=(32, 48), width=4)
    model = GroupDNet(config)
    # Initial weights are small and the pictures grey: scale them up so that codes show.
    for parameter in model.parameters():
        parameter.data.mul_(8 if parameter.ndim == 4 else 1)
    return GroupDNetPipeline(model)


@pytest.fixture
def mask() -> np.ndarray:
    label = np.zeros((32, 48), dtype=np.int64)
    label[12:, 10:30] = 1
    label[24:] = 2
    return label


def pixels(look: Look) -> np.ndarray:
    return np.asarray(look.image).astype(int)


def test_same_seed_same_picture(pipe: GroupDNetPipeline, mask: np.ndarray) -> None:
    first, again, other = pipe.sample(mask, seed=3), pipe.sample(mask, seed=3), pipe.sample(mask, seed=4)
    assert np.array_equal(pixels(first), pixels(again))
    assert not np.array_equal(pixels(first), pixels(other))
    assert first.image.size == (48, 32)
    assert first.classes == ("sky", "house", "road")


def test_without_a_seed_the_look_tells_the_drawn_one(pipe: GroupDNetPipeline, mask: np.ndarray) -> None:
    look = pipe.sample(mask)
    assert look.seed is not None
    assert np.array_equal(pixels(pipe.sample(mask, seed=look.seed)), pixels(look))


def test_reroll_keeps_every_other_code(pipe: GroupDNetPipeline, mask: np.ndarray) -> None:
    look = pipe.sample(mask, seed=0)
    new = pipe.reroll(look, "house", seed=1)
    assert torch.equal(new.codes.pick("house"), pipe.sample(mask, seed=1).codes.pick("house"))
    for name in ("sky", "road", "car"):
        assert torch.equal(new.codes.pick(name), look.codes.pick(name))
    assert not np.array_equal(pixels(new), pixels(look))
    several = pipe.reroll(look, ["house", 0], seed=1)
    assert torch.equal(several.codes.pick("sky"), pipe.sample(mask, seed=1).codes.pick("sky"))


def test_reroll_of_an_absent_class_changes_nothing_visible(pipe: GroupDNetPipeline, mask: np.ndarray) -> None:
    # A car that is not on the map may still leak through the fused last blocks, but hardly: the code itself changes.
    look = pipe.sample(mask, seed=0)
    new = pipe.reroll(look, "car", seed=1)
    assert not torch.equal(new.codes.pick("car"), look.codes.pick("car"))


def test_mix_takes_each_class_from_its_look(pipe: GroupDNetPipeline, mask: np.ndarray) -> None:
    a, b, c = (pipe.sample(mask, seed=seed) for seed in range(3))
    mixed = pipe.mix(mask, {"sky": a, "house": b}, base=c)
    assert torch.equal(mixed.codes.pick("sky"), a.codes.pick("sky"))
    assert torch.equal(mixed.codes.pick("house"), b.codes.pick("house"))
    assert torch.equal(mixed.codes.pick("road"), c.codes.pick("road"))
    drawn = pipe.mix(mask, {"sky": a}, seed=9)
    assert torch.equal(drawn.codes.pick("road"), pipe.sample(mask, seed=9).codes.pick("road"))


def test_morph_starts_and_ends_at_the_looks(pipe: GroupDNetPipeline, mask: np.ndarray) -> None:
    a, b = pipe.sample(mask, seed=0), pipe.sample(mask, seed=1)
    looks = pipe.morph(a, b, steps=5)
    assert len(looks) == 5
    assert np.array_equal(pixels(looks[0]), pixels(a))
    assert np.array_equal(pixels(looks[-1]), pixels(b))
    beyond = pipe.morph(a, b, steps=3, span=(-0.5, 1.5))
    torch.testing.assert_close(beyond[1].codes.tensor, (a.codes.tensor + b.codes.tensor) / 2)
    torch.testing.assert_close(beyond[2].codes.tensor, 1.5 * b.codes.tensor - 0.5 * a.codes.tensor)
    partly = pipe.morph(a, b, steps=2, classes="house")
    assert torch.equal(partly[1].codes.pick("sky"), a.codes.pick("sky"))
    assert torch.equal(partly[1].codes.pick("house"), b.codes.pick("house"))


def test_between_is_one_look_of_a_morph(pipe: GroupDNetPipeline, mask: np.ndarray) -> None:
    a, b = pipe.sample(mask, seed=0), pipe.sample(mask, seed=1)
    morph = pipe.morph(a, b, steps=5, classes=["house"], span=(-0.5, 1.5))
    for t, expected in zip((-0.5, 0.0, 0.5, 1.0, 1.5), morph, strict=True):
        look = pipe.between(a, b, t, ["house"])
        assert torch.equal(look.codes.tensor, expected.codes.tensor)
        assert np.array_equal(pixels(look), pixels(expected))
    with pytest.raises(ValueError, match="t is nan"):
        pipe.between(a, b, float("nan"))


def test_edit_keeps_the_codes(pipe: GroupDNetPipeline, mask: np.ndarray) -> None:
    look = pipe.sample(mask, seed=0)
    with_car = mask.copy()
    with_car[20:24, 4:12] = 3
    edited = pipe.edit(look, with_car)
    assert torch.equal(edited.codes.tensor, look.codes.tensor)
    assert "car" in edited.classes
    drawn = pipe.edit(look, with_car, seed=5)
    assert torch.equal(drawn.codes.pick("car"), pipe.sample(mask, seed=5).codes.pick("car"))
    assert torch.equal(drawn.codes.pick("house"), look.codes.pick("house"))


def test_encode_draws_only_what_the_photo_does_not_show(pipe: GroupDNetPipeline, mask: np.ndarray) -> None:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8))
    look = pipe.encode(photo, mask, seed=2)
    assert look.seed is None
    assert torch.equal(look.codes.pick("car"), pipe.sample(mask, seed=2).codes.pick("car"))
    assert not torch.equal(look.codes.pick("sky"), pipe.sample(mask, seed=2).codes.pick("sky"))
    other = pipe.encode(photo.transpose(Image.Transpose.FLIP_TOP_BOTTOM), mask, seed=2)
    assert not torch.equal(look.codes.pick("sky"), other.codes.pick("sky"))


def test_a_photo_and_a_mask_are_turned_alike(
    pipe: GroupDNetPipeline, mask: np.ndarray, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo, label = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8), mask.astype(np.uint8)
    stored = {"photo": np.rot90(photo), "mask": np.rot90(label)}
    for name, array in stored.items():
        Image.fromarray(array).save(tmp_path / f"{name}.png", exif=exif)
        Image.fromarray(array).save(tmp_path / f"{name}_as_stored.png")
    look = pipe.encode(tmp_path / "photo.png", tmp_path / "mask.png")
    assert np.array_equal(look.mask, mask)
    assert torch.equal(look.codes.tensor, pipe.encode(photo, mask).codes.tensor)
    assert torch.equal(look.codes.tensor, pipe.encode(tmp_path / "photo.png", mask).codes.tensor)
    with pytest.raises(
        ValueError, match=r"'photo\.png' is turned by its EXIF orientation 6 and the label map is not"
    ):
        pipe.encode(tmp_path / "photo.png", tmp_path / "mask_as_stored.png")
    exif[0x0112] = 3
    Image.fromarray(photo).save(tmp_path / "photo.png", exif=exif)
    with pytest.warns(
        UserWarning, match="orientation 3 and the label map is not, and their sizes do not tell"
    ):
        pipe.encode(tmp_path / "photo.png", mask)


def test_masks_are_read_from_files_and_resized(
    pipe: GroupDNetPipeline, mask: np.ndarray, tmp_path: Path
) -> None:
    large = Image.fromarray(mask.astype(np.uint8)).resize((96, 64), Image.Resampling.NEAREST)
    large.save(tmp_path / "mask.png")
    look = pipe.sample(tmp_path / "mask.png", seed=0)
    assert np.array_equal(look.mask, mask)


def test_a_look_survives_saving(pipe: GroupDNetPipeline, mask: np.ndarray, tmp_path: Path) -> None:
    look = pipe.sample(mask, seed=0)
    look.save(tmp_path / "look")
    loaded = Look.load(tmp_path / "look")
    assert torch.equal(loaded.codes.tensor, look.codes.tensor)
    assert np.array_equal(loaded.mask, look.mask)
    assert np.array_equal(pixels(loaded), pixels(look))
    assert loaded.seed == 0
    assert np.array_equal(
        pixels(pipe.reroll(loaded, "sky", seed=1)), pixels(pipe.reroll(look, "sky", seed=1))
    )
    pipe.sample(mask, seed=1).save(tmp_path / "look")  # replaces
    assert Look.load(tmp_path / "look").seed == 1
    assert [p.name for p in tmp_path.iterdir()] == ["look"]


def test_a_look_survives_as_one_file(pipe: GroupDNetPipeline, mask: np.ndarray, tmp_path: Path) -> None:
    look = pipe.sample(mask, seed=0)
    look.save(tmp_path / "new folder" / "look.zip")
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == ["look.zip"]
    # As a file manager packs a folder: compressed, under the folder's name, with files of its own.
    look.save(tmp_path / "look")
    with zipfile.ZipFile(tmp_path / "packed.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for path in (tmp_path / "look").iterdir():
            packed.write(path, f"my look/{path.name}")
        packed.writestr("__MACOSX/my look/._image.png", b"clutter")
    for loaded in (
        Look.load(tmp_path / "new folder" / "look.zip"),
        Look.load(tmp_path / "packed.zip"),
        Look.from_bytes(look.to_bytes()),
    ):
        assert torch.equal(loaded.codes.tensor, look.codes.tensor)
        assert np.array_equal(loaded.mask, look.mask)
        assert np.array_equal(pixels(loaded), pixels(look))
        assert loaded.seed == 0


def test_archives_that_are_no_looks_are_refused(
    pipe: GroupDNetPipeline, mask: np.ndarray, tmp_path: Path
) -> None:
    files = pipe.sample(mask, seed=0)._files()
    (tmp_path / "look.zip").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"look\.zip is not a zip archive that can be read"):
        Look.load(tmp_path / "look.zip")
    for changed, said in (
        ({**files, "run.sh": b""}, r"the look is not a saved look: it holds 'run\.sh'"),
        ({**files, "../mask.png": b""}, "a path that leads out of it"),
        ({name: files[name] for name in files if name != "look.json"}, r"it has no look\.json"),
        ({**files, "mask.png": b"no png"}, r"mask\.png"),
        ({**files, **{f"{i}.png": b"" for i in range(9)}}, "holds 13 files; at most 5 are read"),
    ):
        with pytest.raises(ValueError, match=said):
            Look.from_bytes(archive_of(changed))
    whole = archive_of(files)
    for damaged in (whole[:-30], whole.replace(b"groupdnet-codes", b"groupdnet-cubes")):
        with pytest.raises(ValueError, match="damaged"):
            Look.from_bytes(damaged)


def test_an_archive_that_unpacks_to_gigabytes_is_refused_unread() -> None:
    bomb = BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("mask.png", "w") as file:
        for _ in range(600):
            file.write(bytes(2**20))
    with pytest.raises(ValueError, match=r"holds 600\.0 MiB of files; at most 512 MiB are read"):
        Look.from_bytes(bomb.getvalue())


def test_a_look_never_overwrites_a_strange_folder(
    pipe: GroupDNetPipeline, mask: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="not a saved look"):
        pipe.sample(mask, seed=0).save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_damaged_looks_are_refused(pipe: GroupDNetPipeline, mask: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a saved look"):
        Look.load(tmp_path)
    pipe.sample(mask, seed=0).save(tmp_path / "look")
    (tmp_path / "look" / "mask.png").write_bytes(b"no png")
    with pytest.raises(ValueError, match=r"mask\.png"):
        Look.load(tmp_path / "look")


def test_refusals_say_what_and_how(pipe: GroupDNetPipeline, mask: np.ndarray) -> None:
    look = pipe.sample(mask, seed=0)
    with pytest.raises(ValueError, match=r"hous.*house"):
        pipe.reroll(look, "hous")
    with pytest.raises(ValueError, match="seed is -1"):
        pipe.sample(mask, seed=-1)
    with pytest.raises(ValueError, match="steps is 1"):
        pipe.morph(look, look, steps=1)
    wrong = mask.copy()
    wrong[0, :5] = 9
    with pytest.raises(ValueError, match=r"9.*5 pixels"):
        pipe.sample(wrong, seed=0)
    with pytest.raises(ValueError, match="proportions"):
        pipe.encode(Image.new("RGB", (90, 90)), mask)
    other_labels = LabelSet.from_names(("a", "b"))
    other = GroupDNetPipeline(
        GroupDNet(GroupDNetConfig.for_labels(other_labels, image_size=(32, 48), width=4))
    )
    with pytest.raises(ValueError, match="another model"):
        other.reroll(look, "a")


def pipeline_of(labels: LabelSet, size: tuple[int, int] = (32, 48), **fields: object) -> GroupDNetPipeline:
    return GroupDNetPipeline(GroupDNet(GroupDNetConfig.for_labels(labels, size, width=4, **fields)))


def drawing_verbs(pipe: GroupDNetPipeline, foreign: Look) -> dict[str, Callable[[], object]]:
    """The verbs that draw on the look's own label map."""
    own = pipe.sample(np.zeros(pipe.model.config.image_size, np.int64), seed=0)
    return {
        "reroll": lambda: pipe.reroll(foreign, 0, seed=1),
        "morph": lambda: pipe.morph(foreign, own, 2),
        "between": lambda: pipe.between(foreign, own, 0.5),
    }


def code_verbs(pipe: GroupDNetPipeline, foreign: Look) -> dict[str, Callable[[], object]]:
    """The verbs that put the look's codes on a label map of the model."""
    mask = np.zeros(pipe.model.config.image_size, np.int64)
    own = pipe.sample(mask, seed=0)
    return {
        "edit": lambda: pipe.edit(foreign, mask),
        "edit with a seed": lambda: pipe.edit(foreign, mask, seed=1),
        "mix from": lambda: pipe.mix(mask, {0: foreign}, base=own),
        "mix without a base": lambda: pipe.mix(mask, {0: foreign}, seed=1),
        "mix into": lambda: pipe.mix(mask, {0: own}, base=foreign),
        "morph to": lambda: pipe.morph(own, foreign, 2),
        "between to": lambda: pipe.between(own, foreign, 0.5),
    }


def refusal(verb: Callable[[], object]) -> str:
    with pytest.raises(ValueError, match="this look is of another model") as refused:
        verb()
    return str(refused.value)


def test_a_look_of_other_classes_is_refused_by_every_verb_naming_both(tmp_path: Path) -> None:
    """Also one that was saved, and whatever else is wrong: its classes are what there is to say."""
    people = LabelSet.from_names(("background", "hair", "shoes"))
    pipeline_of(people).sample(np.full((32, 48), 2), seed=0).save(tmp_path / "look")
    foreign, pipe = Look.load(tmp_path / "look"), pipeline_of(LABELS)
    verbs = drawing_verbs(pipe, foreign) | code_verbs(pipe, foreign)
    verbs["reroll of its class"] = lambda: pipe.reroll(foreign, "hair")
    verbs["mix of its class on its map"] = lambda: pipe.mix(foreign.mask, {"hair": foreign}, base=foreign)
    for verb in verbs.values():
        text = refusal(verb)
        assert "3 classes background, hair, shoes;" in text
        assert "4 classes sky, house, road, car:" in text


def test_the_same_classes_in_another_order_are_other_classes(mask: np.ndarray) -> None:
    turned = LabelSet(LABELS.names[::-1], LABELS.palette[::-1])
    foreign = pipeline_of(turned).sample(mask, seed=0)
    text = refusal(lambda: pipeline_of(LABELS).reroll(foreign, "sky"))
    assert (
        "4 classes car, road, house, sky; this model has the 4 classes sky, house, road, car, in another"
        in text
    )


def test_the_refusal_of_a_look_of_thousands_of_classes_is_short() -> None:
    """And says where two long lists differ."""
    names = [f"{'very ' * 10}long name {n}" for n in range(300)]
    ours, theirs = ([*(f"class {n}" for n in range(40)), *more] for more in (["kite"], ["dragon", *names]))
    look = pipeline_of(LabelSet.from_names(theirs), (16, 16)).sample(np.zeros((16, 16), np.int64), seed=0)
    pipe = pipeline_of(LabelSet.from_names(ours), (16, 16))
    text = refusal(lambda: pipe.reroll(look, 0))
    assert len(text) < 2000
    assert "341 classes dragon, very" in text
    assert "and 321 more; this model has the 41 classes kite, class 0, class 1" in text


@pytest.mark.parametrize("wanted", [(64, 48), (32, 24)])
def test_a_look_of_another_size_names_both_sizes(wanted: tuple[int, int]) -> None:
    foreign = pipeline_of(LABELS).sample(np.zeros((32, 48), np.int64), seed=0)
    pipe = pipeline_of(LABELS, wanted)
    shape = pipe.model.config.code_shape
    assert shape != foreign.codes.tensor.shape
    for verb in (drawing_verbs(pipe, foreign) | code_verbs(pipe, foreign)).values():
        text = refusal(verb)
        assert (
            f"its codes are 8x4x6 for each class, this model's {'x'.join(map(str, pipe.model.config.code_shape[1:]))}"
            in text
        )
        assert f"its picture is 32x48 (height x width), this model's are {wanted[0]}x{wanted[1]}" in text


def test_codes_of_another_shape_are_named() -> None:
    foreign = pipeline_of(LABELS, latent_channels=3).sample(np.zeros((32, 48), np.int64), seed=0)
    text = refusal(lambda: pipeline_of(LABELS).edit(foreign, foreign.mask))
    assert "its codes are 3x4x6 for each class, this model's 8x4x6: use the model that made it" in text


def test_a_look_of_a_model_that_was_grown_can_be_put_on_a_larger_map(mask: np.ndarray) -> None:
    """Its codes fit; its own map, of half the size, would be drawn as a picture of half the size."""
    small = pipeline_of(LABELS)
    foreign, large = small.sample(mask, seed=0), GroupDNetPipeline(grow(small.model))
    for verb in drawing_verbs(large, foreign).values():
        text = refusal(verb)
        assert "its picture is 32x48 (height x width), this model's are 64x96" in text
        assert "or edit the look with a label map of this model's size" in text
    for verb in code_verbs(large, foreign).values():
        verb()
    edited = large.edit(foreign, mask.repeat(2, 0).repeat(2, 1))
    assert edited.image.size == (96, 64)
    assert torch.equal(edited.codes.tensor, foreign.codes.tensor)


def test_instance_edges_change_the_picture(mask: np.ndarray) -> None:
    config = GroupDNetConfig.for_labels(LABELS, image_size=(32, 48), width=4, instance_edges=True)
    model = GroupDNet(config)
    for parameter in model.parameters():
        parameter.data.mul_(8 if parameter.ndim == 4 else 1)
    pipe = GroupDNetPipeline(model)
    one, two = np.zeros_like(mask), np.zeros_like(mask)
    two[:, 20:] = 1
    first, second = pipe.sample(mask, seed=0, instance=one), pipe.sample(mask, seed=0, instance=two)
    assert not np.array_equal(pixels(first), pixels(second))
    assert np.array_equal(pixels(pipe.reroll(first, "sky", seed=0)), pixels(first))
    with pytest.raises(ValueError, match="instance map"):
        pipe.sample(mask, seed=0)


def test_the_global_random_state_is_left_alone(pipe: GroupDNetPipeline, mask: np.ndarray) -> None:
    before = torch.random.get_rng_state()
    pipe.reroll(pipe.sample(mask), "sky")
    assert torch.equal(before, torch.random.get_rng_state())
