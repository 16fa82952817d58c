"""A discriminator beside a model: saved with it, found, and from a stranger refused as a model is."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from groupdnet_hub import GroupDNet, LabelSet
from groupdnet_hub.hub.discriminator_file import DISCRIMINATOR_FILE, find_discriminator
from groupdnet_hub.models.discriminator import MultiScaleDiscriminator
from groupdnet_hub.models.segmentation_discriminator import SegmentationDiscriminator
from groupdnet_hub.training.state.discriminator_state import take_up, weights_to_save
from tests.helpers.hostile_files import pickles, refusal, safetensors, tensor
from tests.helpers.hub_models import CONFIG, LABELS, fingerprint, make_model

SMALL = CONFIG.replace(discriminator_width=4, discriminator_norm="none")


def discriminator(seed: int = 0) -> MultiScaleDiscriminator:
    return MultiScaleDiscriminator(SMALL, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "model"
    model = make_model()
    model.discriminator_to_save = weights_to_save(discriminator(3), SMALL)
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of a saved model, to spoil."""
    return shutil.copytree(saved, tmp_path / "model")


def taken(folder: Path) -> str:
    return take_up(discriminator(), str(folder), SMALL, {})


def equal(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return set(first) == set(second) and all(torch.equal(value, second[key]) for key, value in first.items())


# -- saved and found ---------------------------------------------------------------------------------------------


def test_it_is_saved_with_the_model_and_does_not_change_it(saved: Path) -> None:
    model = GroupDNet.from_pretrained(saved)
    assert fingerprint(model) == fingerprint(make_model())
    assert model.discriminator_to_save is None
    fresh = discriminator()
    assert take_up(fresh, str(saved), SMALL, {}) == f"the discriminator is taken up from {saved}"
    assert equal(fresh, discriminator(3))
    modes = {(saved / name).stat().st_mode for name in (DISCRIMINATOR_FILE, "config.json")}
    assert len(modes) == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_it_has_the_precision_of_its_model(tmp_path: Path, dtype: torch.dtype) -> None:
    model = make_model().to(dtype)
    model.discriminator_to_save = weights_to_save(discriminator(3), SMALL)
    model.save_pretrained(tmp_path)
    assert {value.dtype for value in load_file(tmp_path / DISCRIMINATOR_FILE).values()} == {dtype}
    fresh = discriminator()
    take_up(fresh, str(tmp_path), SMALL, {})
    halved = {key: value.to(dtype).float() for key, value in discriminator(3).state_dict().items()}
    assert all(torch.equal(value, halved[key]) for key, value in fresh.state_dict().items())


def test_a_save_that_fails_leaves_the_old_pair(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    model = make_model(1)
    model.discriminator_to_save = weights_to_save(discriminator(5), SMALL)

    def fail(*_: object) -> None:
        raise OSError("no")

    monkeypatch.setattr("groupdnet_hub.hub.mixin.write_discriminator", fail)
    with pytest.raises(OSError, match="no"):
        model.save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_killed_writer_is_no_obstacle(folder: Path) -> None:
    (folder / ".saved").mkdir()
    (folder / DISCRIMINATOR_FILE).rename(folder / ".saved" / DISCRIMINATOR_FILE)
    assert find_discriminator(folder) == folder / ".saved" / DISCRIMINATOR_FILE
    assert "is taken up" in taken(folder)


# -- other classes, another size ------------------------------------------------------------------------------------


def test_classes_of_a_discriminator_of_pixels_are_carried_over(tmp_path: Path) -> None:
    small = SMALL.replace(discriminator="segmentation")
    model = make_model()
    old = SegmentationDiscriminator(small, generator=torch.Generator().manual_seed(3))
    torch.nn.init.normal_(old.last.bias, generator=torch.Generator().manual_seed(0))
    model.discriminator_to_save = weights_to_save(old, small)
    model.save_pretrained(tmp_path)
    labels = LabelSet.from_names(("road", "tree", "sky", "river"))
    config = type(SMALL).for_labels(
        labels, (32, 32), 4, discriminator_width=4, discriminator_norm="none", discriminator="segmentation"
    )
    new = SegmentationDiscriminator(config, generator=torch.Generator().manual_seed(0))
    said = take_up(new, str(tmp_path), config, {"river": "road"})
    assert said.endswith("with its 3 classes carried over by name; zero for tree")
    # The last one is "fake".
    for mine, place in ((0, 2), (2, 0), (3, 2), (4, 3)):
        assert torch.equal(new.last.weight[mine], old.last.weight[place])
        assert torch.equal(new.last.bias[mine], old.last.bias[place])
    assert not new.last.weight[1].any()
    assert torch.equal(new.down[0].conv_0.weight, old.down[0].conv_0.weight)


def test_a_discriminator_of_pixels_stays_as_deep_as_it_was(tmp_path: Path) -> None:
    small = SMALL.replace(discriminator="segmentation")
    model = make_model()
    old = SegmentationDiscriminator(small, generator=torch.Generator().manual_seed(3))
    model.discriminator_to_save = weights_to_save(old, small)
    model.save_pretrained(tmp_path)
    large = type(SMALL).for_labels(
        LABELS, (64, 64), 4, discriminator_width=4, discriminator_norm="none", discriminator="segmentation"
    )
    new = SegmentationDiscriminator(large)
    assert new.depth == old.depth + 1
    assert "is taken up" in take_up(new, str(tmp_path), large, {})
    assert equal(new, old)
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(new.eval()(picture), old.eval()(picture))
    # The other way round there is nothing to make it deeper from.
    model.discriminator_to_save = weights_to_save(SegmentationDiscriminator(large), large)
    model.save_pretrained(tmp_path)
    said = take_up(SegmentationDiscriminator(small), str(tmp_path), small, {})
    assert f"depth is {old.depth} here and {old.depth + 1} there" in said


def test_labels_without_a_common_class_start_fresh(saved: Path) -> None:
    labels = LabelSet.from_names(("a", "b", "c"))
    config = type(SMALL).for_labels(labels, (32, 32), 4, discriminator_width=4, discriminator_norm="none")
    said = take_up(MultiScaleDiscriminator(config), str(saved), config, {})
    assert said == f"the discriminator starts fresh: that of {saved} knows none of the classes"


# -- from a stranger ------------------------------------------------------------------------------------------------


def test_pickles_in_disguise(folder: Path, tmp_path: Path) -> None:
    canary = tmp_path / "executed"
    for form, content in pickles(canary):
        (folder / DISCRIMINATOR_FILE).write_bytes(content)
        with refusal("a pickle under a wrong name|damaged|does not fit"):
            taken(folder)
        assert not canary.exists(), form


def test_truncated_and_changed_files(folder: Path) -> None:
    whole = (folder / DISCRIMINATOR_FILE).read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    random = np.random.default_rng(0)
    for place in (0, 1, 7, 8, header - 1, header, *random.integers(0, len(whole), 20).tolist()):
        (folder / DISCRIMINATOR_FILE).write_bytes(whole[:place])
        with refusal("damaged or cut off"):
            taken(folder)
    for place in random.integers(8, header, 60):
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << int(random.integers(8))
        (folder / DISCRIMINATOR_FILE).write_bytes(spoilt)
        try:
            said = taken(folder)
        except ValueError:
            continue
        assert "starts fresh" in said or "is taken up" in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"scales.0.last.weight": None},
            r"does not fit the discriminator .* scales\.0\.last\.weight is missing",
        ),
        ({"stranger": torch.zeros(2**24, dtype=torch.uint8)}, "stranger is not part of the model"),
        ({"scales.0.last.bias": torch.zeros(7)}, r"scales\.0\.last\.bias has shape \(7,\)"),
        ({"scales.0.last.bias": torch.zeros(1, dtype=torch.int32)}, "has the type I32"),
    ],
)
def test_tensors_that_do_not_fit(folder: Path, changes: dict[str, torch.Tensor | None], message: str) -> None:
    description = json.dumps(weights_to_save(discriminator(), SMALL).description)
    tensors = {**load_file(folder / DISCRIMINATOR_FILE), **changes}
    kept = {key: value for key, value in tensors.items() if value is not None}
    save_file(kept, folder / DISCRIMINATOR_FILE, {"discriminator": description})
    with refusal(message):
        taken(folder)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (None, "does not describe its discriminator"),
        ("", "not valid JSON"),
        ("[" * 30_000, "nests too deeply"),
        ("[]", "does not name the classes"),
        ('{"class_names": "sky"}', "does not name the classes"),
        ('{"class_names": []}', "does not name the classes"),
        ('{"class_names": ["sky", "sky"]}', "does not name the classes"),
        ('{"class_names": ["sky", 1]}', "does not name the classes"),
        (json.dumps({"class_names": [str(i) for i in range(5000)]}), "does not name the classes"),
    ],
)
def test_descriptions_that_are_none(folder: Path, description: str | None, message: str) -> None:
    metadata = {} if description is None else {"discriminator": description}
    save_file(
        load_file(folder / DISCRIMINATOR_FILE), folder / DISCRIMINATOR_FILE, {"format": "pt", **metadata}
    )
    with refusal(message):
        taken(folder)


def test_a_strange_description_is_told_in_a_line(folder: Path) -> None:
    own = weights_to_save(discriminator(), SMALL).description
    for strange in (None, [], {}, "x" * 50_000, 10**300, -1, 1.5):
        for key in own:
            text = json.dumps({**own, key: strange})
            save_file(
                load_file(folder / DISCRIMINATOR_FILE), folder / DISCRIMINATOR_FILE, {"discriminator": text}
            )
            try:
                said = taken(folder)
            except ValueError as error:
                said = str(error)
                assert key == "class_names"
            assert len(said) < 1000


def test_headers_that_lie(folder: Path) -> None:
    for content in (
        (2**60).to_bytes(8, "little") + b"{}",
        safetensors(b" " * (17 * 2**20)),
        safetensors({"a": tensor(2**32, 2**32, end=4)}, bytes(4)),
        safetensors(
            b"{" + b",".join(b'"%d":%s' % (i, json.dumps(tensor(0)).encode()) for i in range(50_000)) + b"}"
        ),
    ):
        (folder / DISCRIMINATOR_FILE).write_bytes(content)
        with refusal("damaged|far more tensors"):
            taken(folder)


def test_links_and_pipes(folder: Path, tmp_path: Path) -> None:
    (folder / DISCRIMINATOR_FILE).rename(tmp_path / "elsewhere")
    (folder / DISCRIMINATOR_FILE).symlink_to(tmp_path / "elsewhere")
    with refusal("is a link out of its folder"):
        taken(folder)
    (folder / DISCRIMINATOR_FILE).unlink()
    os.mkfifo(folder / DISCRIMINATOR_FILE)
    assert f"there is no {DISCRIMINATOR_FILE}" in taken(folder)
