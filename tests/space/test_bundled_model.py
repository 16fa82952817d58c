"""The bundled model, whatever its classes and size: it is small, fits its examples, and its codes say something.

No other test looks at ``space/model`` and ``space/examples``, but for those that measure the page's pace and memory.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from groupdnet_hub import GroupDNet, GroupDNetPipeline, LabelSet, Look, PairedImages
from tests.helpers.shared_data import ROOT, SHARED, shared_folder
from train.tools.appearance_report import compare_reconstructions, main_class, reroll_locality

SPACE = ROOT / "space"
MODEL, EXAMPLES = SPACE / "model", SPACE / "examples"


@pytest.fixture(scope="module")
def model() -> GroupDNet:
    return GroupDNet.from_pretrained(MODEL)


@pytest.fixture(scope="module")
def pipe(model: GroupDNet) -> GroupDNetPipeline:
    return GroupDNetPipeline(model)


@pytest.fixture(scope="module")
def drawn(pipe: GroupDNetPipeline) -> list[Look]:
    """Draw a look on each example map."""
    pytest.importorskip("gradio", reason="the page needs gradio")
    from page.core.example_maps import example_map

    size = pipe.model.config.image_size
    paths = sorted(EXAMPLES.glob("*.png"))
    return [pipe.sample(example_map(path, pipe.labels, size), seed=seed) for seed, path in enumerate(paths)]


@pytest.fixture(scope="module")
def photos(model: GroupDNet) -> list[dict]:
    """Return the validation photos of a shared data set of the model's classes."""
    shared_folder("data")
    for classes in sorted((SHARED / "data").glob("*/classes.json")):
        if LabelSet.from_file(classes).names == model.labels.names:
            data = PairedImages.from_folder(
                classes.parent, model.config.image_size, split="validation", labels=model.labels
            )
            return [data[i] for i in range(len(data))]
    pytest.skip("needs photos of the bundled model's classes in the shared folder data/, which has none")


# -- without photos ------------------------------------------------------------------------------------------


def test_it_is_small_and_of_half_precision() -> None:
    assert (MODEL / "model.safetensors").stat().st_size <= 40_000_000
    assert GroupDNet.from_pretrained(MODEL, dtype="auto").dtype == torch.float16


def test_its_card_says_where_it_comes_from_and_what_its_classes_are(model: GroupDNet) -> None:
    card = (MODEL / "README.md").read_text(encoding="utf-8")
    height, width = model.config.image_size
    facts = (model.card_facts["perceptual_net"], str(model.card_facts["steps"]), f"{height} x {width}")
    for fact in ("Clothing Co-Parsing", *facts):
        assert fact in card
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \| (\d+), (\d+), (\d+) \|$", card, re.MULTILINE)
    names, colours = model.labels.names, model.labels.palette
    assert [(int(i), name, (int(r), int(g), int(b))) for i, name, r, g, b in rows] == [
        *zip(range(len(names)), names, colours, strict=True)
    ]


def test_the_examples_serve_it_and_it_opens_with_looks_of_its_own(
    model: GroupDNet, drawn: list[Look]
) -> None:
    """People with a face and clothes; all classes are shown, and there are enough to fill the page."""
    from page.core.example_maps import check_examples
    from page.core.opening_looks import OPENING_SEEDS, read_looks
    from page.core.studio import Studio

    check_examples(EXAMPLES, model.labels, model.config.image_size)
    studio = Studio(str(MODEL), EXAMPLES)
    assert studio.examples == sorted(EXAMPLES.glob("*.png"))
    assert len(studio.examples) >= len(OPENING_SEEDS)
    named = [(look.map, look.seed) for look in read_looks(str(MODEL))]
    assert [(path.name, seed) for path, seed in studio.opening] == named
    assert len(set(named)) == len(OPENING_SEEDS)
    assert {name for look in drawn for name in look.classes} == set(model.labels.names)
    body = {"background", "hair", "face", "skin"}
    for look in drawn:
        assert "face" in look.classes
        assert set(look.classes) - body


@pytest.mark.parametrize(
    "folder",
    sorted(path.parent for path in SPACE.glob("models/*/config.json")),
    ids=lambda folder: folder.name,
)
def test_a_further_model_is_small_and_opens_with_looks_on_the_examples(folder: Path) -> None:
    pytest.importorskip("gradio", reason="the page needs gradio")
    from page.core.opening_looks import OPENING_SEEDS, read_looks
    from page.core.studio import Studio

    assert (folder / "model.safetensors").stat().st_size <= 40_000_000
    card = (folder / "README.md").read_text(encoding="utf-8")
    further = GroupDNet.from_pretrained(folder)
    for fact in ("Clothing Co-Parsing", f"{len(further.labels)} classes", str(further.card_facts["steps"])):
        assert fact in card
    studio = Studio(str(folder), EXAMPLES)
    named = [(look.map, look.seed) for look in read_looks(str(folder))]
    assert [(path.name, seed) for path, seed in studio.opening] == named
    assert len(set(named)) == len(OPENING_SEEDS)


def test_it_draws_every_example(model: GroupDNet, pipe: GroupDNetPipeline, drawn: list[Look]) -> None:
    height, width = model.config.image_size
    for look in drawn:
        pixels = np.asarray(look.image)
        assert look.image.size == (width, height)
        assert pixels.std() > 10
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1000
    other = pipe.sample(drawn[0].mask, seed=1000)
    assert np.abs(np.asarray(other.image).astype(int) - np.asarray(drawn[0].image)).mean() > 1


def test_the_code_of_every_class_but_the_background_shows_in_its_region(
    pipe: GroupDNetPipeline, drawn: list[Look]
) -> None:
    for name in pipe.labels.names:
        inside, outside = [], []
        for look in itertools.islice((one for one in drawn if name in one.classes), 2):
            region = look.mask == pipe.labels.id_of(name)
            redrawn = np.asarray(pipe.reroll(look, name, seed=77).image).astype(int)
            change = np.abs(redrawn - np.asarray(look.image)).mean(axis=2)
            inside.append(change[region].mean())
            outside.append(change[~region].mean())
        if name != "background":
            assert np.mean(inside) > np.mean(outside), name


# -- with photos ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_rerolling_the_main_garment_stays_in_its_region(model: GroupDNet, photos: list[dict]) -> None:
    class_ = main_class(model.labels, photos)
    found = reroll_locality(model, photos, class_)
    showing = sum(bool((item["label"] == model.labels.id_of(class_)).any()) for item in photos)
    assert found["pictures"] == showing > len(photos) / 3
    assert found["ratio"] >= 4


@pytest.mark.slow
def test_encode_then_decode_is_nearer_than_a_sample(model: GroupDNet, photos: list[dict]) -> None:
    pytest.importorskip("lpips")
    from groupdnet_hub.metrics import alexnet_lpips

    distance = alexnet_lpips(shared_folder("weights") / "alexnet_features.safetensors")
    found = compare_reconstructions(model, photos, distance)
    assert found["pictures"] == len(photos) >= 100
    assert found["share"] >= 0.8


def test_samples_are_as_varied_as_photos(model: GroupDNet, photos: list[dict]) -> None:
    """Codes from N(0, 1) all gave nearly the same murky clothes, because photos' codes lie far outside."""
    garment = model.labels.id_of(main_class(model.labels, photos))
    items = [item for item in photos if (item["label"] == garment).any()][::5]
    with torch.inference_mode():
        real, drawn = [], []
        for i, item in enumerate(items):
            region = item["label"] == garment
            codes = model.sample_codes(generator=torch.Generator().manual_seed(i))
            picture = model.decode(codes, item["label"][None])[0]
            real.append(item["image"][:, region].mean())
            drawn.append(picture[:, region].mean())
    # Brightness of the garment from one picture to the next.
    assert torch.stack(drawn).std() > 0.6 * torch.stack(real).std()
