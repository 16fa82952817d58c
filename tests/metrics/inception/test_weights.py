"""The weights of FID's network from a TorchScript archive, drawn here: names, layers, and the same from each file."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from groupdnet_hub.io.torchscript import read_torchscript_tensors
from groupdnet_hub.metrics import InceptionFeatures
from groupdnet_hub.metrics.inception import weights as inception_weights
from groupdnet_hub.metrics.inception.weights import (
    are_known,
    file_digest,
    from_archive,
    from_state_dict,
    layer_names,
    read_inception_weights,
    tensors_digest,
)
from groupdnet_hub.runs.provenance import model_digest
from tests.helpers.inception_archive import (
    Archive,
    drawn_archive,
    features_and_layers,
    resized,
    save_archive,
)

pytest.importorskip("torch_fidelity")


@pytest.fixture(scope="module")
def network() -> Archive:
    return drawn_archive()


@pytest.fixture(scope="module")
def archive(network: Archive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inception") / "drawn.pt"
    save_archive(network, path)
    return path


@pytest.fixture(scope="module")
def features(archive: Path) -> InceptionFeatures:
    with pytest.warns(UserWarning, match=r"drawn\.pt has other weights than the FID reference's"):
        return InceptionFeatures(archive)


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    small = torch.randint(0, 256, (2, 3, 9, 6), generator=generator).float()
    return torch.nn.functional.interpolate(small, (70, 40), mode="bicubic").clamp(0, 255).to(torch.uint8)


def test_each_layer_computes_the_archives(
    network: Archive, features: InceptionFeatures, pictures: Tensor
) -> None:
    found, seen = features_and_layers(features, pictures)
    theirs = list(network.layers.named_children())
    assert len(seen) == len(theirs) == 19
    # TensorFlow's resizing, which NVIDIA wrote as the sampling of a grid: to a hundredth of a grey level.
    assert torch.allclose(seen[0][1], resized(pictures), atol=0.01 / 128)
    for (name, inputs, output), (_, layer) in zip(seen, theirs, strict=True):
        assert torch.allclose(layer(inputs), output, rtol=1e-5, atol=1e-5), name
        assert output.std() > 0.1, name  # nothing that would hide a difference
    expected = network(resized(pictures))
    assert found.shape == (2, 2048)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_every_tensor_has_its_place(archive: Path) -> None:
    given = read_torchscript_tensors(archive)
    found = read_inception_weights(archive)
    assert len(layer_names()) == len(set(layer_names().values())) == 94
    assert len(given) == 4 * 94
    assert len(found) == 5 * 94  # with the scales of the batch norms, which are 1
    total = sum(value.numel() for value in given.values())
    scales = [value for name, value in found.items() if name.endswith("bn.weight")]
    assert sum(value.numel() for value in found.values()) == total + sum(scale.numel() for scale in scales)
    assert all((scale == 1).all() for scale in scales)


def test_each_form_of_the_file_gives_the_same(
    archive: Path, features: InceptionFeatures, pictures: Tensor, tmp_path: Path
) -> None:
    state = read_inception_weights(archive)
    # As torch-fidelity's file has them, with a last layer and counts of batches.
    counts = {f"{name}.bn.num_batches_tracked": torch.tensor(7) for name in layer_names().values()}
    more = {"fc.weight": torch.full((1008, 2048), 0.5), "fc.bias": torch.full((1008,), 0.5)}
    torch.save({**state, **counts, **more}, tmp_path / "state.pth")
    save_file(state, tmp_path / "state.safetensors")
    for name in ("state.pth", "state.safetensors"):
        assert tensors_digest(read_inception_weights(tmp_path / name)) == tensors_digest(state)
    with pytest.warns(UserWarning, match=r"state\.pth has other weights"):
        other = InceptionFeatures(tmp_path / "state.pth")
    assert model_digest(other) == model_digest(features)
    assert torch.equal(other(pictures), features(pictures))


def test_the_prefix_of_the_archives_names_does_not_matter(archive: Path) -> None:
    given = read_torchscript_tensors(archive)
    wrapped = {f"net.{name}": value for name, value in given.items()}
    whole = {**given, "output.weight": torch.zeros(1008, 2048), "output.bias": torch.zeros(1008)}
    digests = {tensors_digest(from_archive(one, "x.pt")) for one in (given, wrapped, whole)}
    assert len(digests) == 1


def test_unknown_weights_have_no_name_of_the_references(
    archive: Path, features: InceptionFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert features.distance_name == "Frechet distance (Inception of other weights)"
    assert features.kernel_name == "KID (Inception of other weights)"
    state = read_inception_weights(archive)
    assert not are_known(state, archive)
    monkeypatch.setattr(inception_weights, "KNOWN_FILES", {file_digest(archive)})
    assert are_known(state, archive)
    monkeypatch.undo()
    monkeypatch.setattr(inception_weights, "KNOWN_TENSORS", tensors_digest(state))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        known = InceptionFeatures(archive)
    assert (known.distance_name, known.kernel_name) == ("FID", "KID")


def test_other_tensors_are_refused(archive: Path, tmp_path: Path) -> None:
    given = read_torchscript_tensors(archive)
    missing = {name: value for name, value in given.items() if name != "layers.mixed_4.tower_1.conv_4.beta"}
    with pytest.raises(ValueError, match=r"x\.pt does not hold .* it lacks mixed_4\.tower_1\.conv_4\.beta"):
        from_archive(missing, "x.pt")
    with pytest.raises(ValueError, match=r"x\.pt does not hold .* mixed_11\.conv\.beta is not known"):
        from_archive({**given, "layers.mixed_11.conv.beta": torch.zeros(1)}, "x.pt")
    state = read_inception_weights(archive)
    with pytest.raises(ValueError, match=r"x\.pth does not hold .* AuxLogits\.fc\.bias is not known"):
        from_state_dict({**state, "AuxLogits.fc.bias": torch.zeros(1)}, "x.pth")
    state["Mixed_6c.branch7x7_2.conv.weight"] = torch.zeros(1, 2, 3)
    save_file(state, tmp_path / "misshapen.safetensors")
    with pytest.raises(
        ValueError, match=r"misshapen\.safetensors does not hold .*Mixed_6c\.branch7x7_2.* shape"
    ):
        InceptionFeatures(tmp_path / "misshapen.safetensors")
