"""The genuine weights of FID: the archive's own code computes what our network does, layer by layer and as FID."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from groupdnet_hub import PairedImages
from groupdnet_hub.data.splits import open_split
from groupdnet_hub.evaluation.config import parse_evaluate_config
from groupdnet_hub.evaluation.inputs import Inputs
from groupdnet_hub.metrics import (
    FeatureStatistics,
    InceptionFeatures,
    eight_bit,
    frechet_distance,
    kernel_distance,
)
from groupdnet_hub.metrics.inception.weights import KNOWN_FILES, file_digest, read_inception_weights
from groupdnet_hub.runs.measuring.items import evenly
from groupdnet_hub.runs.provenance import model_digest
from tests.helpers.inception_archive import features_and_layers, genuine_archive, resized
from tests.helpers.shared_data import ROOT, shared_folder

pytest.importorskip("torch_fidelity")
COUNT = 150  # the validation photos


@pytest.fixture(scope="module")
def features() -> InceptionFeatures:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the weights are known
        return InceptionFeatures(genuine_archive())


@pytest.fixture(scope="module")
def state_dict(tmp_path_factory: pytest.TempPathFactory) -> InceptionFeatures:
    """The network with a file as torch-fidelity has it, of the archive's tensors."""
    path = tmp_path_factory.mktemp("inception") / "state.pth"
    torch.save(read_inception_weights(genuine_archive()), path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return InceptionFeatures(path)


@pytest.fixture(scope="module")
def archive() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        return torch.jit.load(genuine_archive()).eval()


def test_the_file_is_known(features: InceptionFeatures, state_dict: InceptionFeatures) -> None:
    assert file_digest(genuine_archive()) in KNOWN_FILES
    assert (features.distance_name, features.kernel_name) == ("FID", "KID")
    assert model_digest(features) == model_digest(state_dict)


def test_each_layer_computes_what_the_archives_code_does(features: InceptionFeatures, archive: Any) -> None:
    pictures = _photos(_inputs().data, 2)
    found, seen = features_and_layers(features, pictures)
    theirs = list(archive.net.layers.named_children())
    assert len(seen) == len(theirs) == 19
    assert torch.allclose(seen[0][1], resized(pictures), atol=0.01 / 128)
    with torch.inference_mode():
        for (name, inputs, output), (_, layer) in zip(seen, theirs, strict=True):
            assert torch.allclose(layer(inputs), output, rtol=1e-5, atol=1e-5), name
        assert torch.allclose(found, archive(resized(pictures)), rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_fid_is_the_same_with_both_files_and_with_the_archives_code(
    features: InceptionFeatures, state_dict: InceptionFeatures, archive: Any
) -> None:
    """Of the bundled model's pictures and of training photos, each from the validation photos."""
    inputs = _inputs()
    split = shared_folder("data") / "fashion8" / "train"
    training = open_split(split, inputs.system.labels, (256, 256), (), instances=False)
    sets = {
        "validation photos": _photos(inputs.data, COUNT),
        "training photos": _photos(training, COUNT),
        "pictures": _pictures(inputs, COUNT),
    }
    networks = {
        "archive": features,
        "state dict": state_dict,
        "archive's code": lambda pictures: archive(resized(pictures)),
    }
    found: dict[tuple[str, str], float] = {}
    for network, compute in networks.items():
        with torch.inference_mode():
            vectors = {name: torch.cat([compute(p) for p in one.split(10)]) for name, one in sets.items()}
        totals = {name: FeatureStatistics() for name in sets}
        for name, one in vectors.items():
            totals[name].update(one)
        for name in ("training photos", "pictures"):
            found[network, name] = frechet_distance(totals[name], totals["validation photos"])
            kid = kernel_distance(vectors[name][:, None], vectors["validation photos"])
            print(f"{network}, {name}: FID {found[network, name]:.3f}, n = {COUNT}; KID {kid.value:.4f}")
    for name in ("training photos", "pictures"):
        values = [found[network, name] for network in networks]
        for one, other in itertools.combinations(values, 2):
            assert one == pytest.approx(other, rel=0.005)
        assert found["archive", name] == found["state dict", name]


def _inputs() -> Inputs:
    """The bundled model and the validation part of FASHION8, as evaluate.py has them."""
    data = shared_folder("data") / "fashion8"
    command = ["--model", str(ROOT / "space" / "model"), "--data_dir", str(data)]
    return Inputs(parse_evaluate_config(command), Accelerator(cpu=True))


def _photos(data: PairedImages, count: int) -> Tensor:
    """Photos uint8 [N, 3, 256, 256], evenly spread."""
    return torch.stack([eight_bit(data[index]["image"]) for index in evenly(range(len(data)), count)])


def _pictures(inputs: Inputs, count: int) -> Tensor:
    """The pictures uint8 [N, 3, 256, 256] that evaluate.py draws for a Frechet distance."""
    indices = inputs.spread(count)
    batches = [indices[start : start + inputs.batch_size] for start in range(0, count, inputs.batch_size)]
    with torch.inference_mode():
        return torch.cat([eight_bit(inputs.draw(batch)[1]) for batch in batches])
