"""A user's own ``torch.export``, ``torch.onnx.export`` and ``torch.jit.trace`` of a model record what it draws."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from groupdnet_hub import GroupDNet
from groupdnet_hub.baselines.registry import build_system, system_config
from groupdnet_hub.models.encoder import Gaussian
from tests.helpers.network_models import generator, make_model, maps

SIZE = (8, 8)
BATCH = torch.export.Dim("batch")
OPEN = {0: BATCH}


class Encode(nn.Module):
    def __init__(self, model: GroupDNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor, label: Tensor) -> Gaussian:
        return self.model.encode(image, label)


class EncodeMean(Encode):
    def forward(self, image: Tensor, label: Tensor) -> Tensor:  # type: ignore[override]
        return self.model.encode(image, label).mean


class Decode(nn.Module):
    def __init__(self, model: nn.Module, prepared: object = None) -> None:
        super().__init__()
        self.model, self.prepared = model, prepared

    def forward(self, codes: Tensor, label: Tensor | None = None) -> Tensor:
        return self.model.decode(codes, self.prepared if label is None else label)  # type: ignore[no-any-return, operator]


@pytest.fixture
def model() -> GroupDNet:
    return make_model(3, SIZE, 2).requires_grad_(False)


def pictures(batch: int) -> tuple[Tensor, Tensor]:
    image = 2 * torch.rand(batch, 3, *SIZE, generator=generator(batch)) - 1
    return image, maps("noise", batch, 3, SIZE)


def close(found: Tensor, expected: Tensor) -> None:
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_torch_export_of_encode(model: GroupDNet) -> None:
    program = torch.export.export(Encode(model), pictures(2), dynamic_shapes=(OPEN, OPEN))
    for batch in (1, 3, 8):
        found, expected = program.module()(*pictures(batch)), model.encode(*pictures(batch))
        close(found.mean, expected.mean)
        close(found.logvar, expected.logvar)


def test_torch_export_of_decode(model: GroupDNet) -> None:
    codes, label = model.sample_codes(8, generator=generator()), pictures(8)[1]
    program = torch.export.export(Decode(model), (codes[:2], label[:2]), dynamic_shapes=(OPEN, OPEN))
    for batch in (1, 3, 8):
        found = program.module()(codes[:batch], label[:batch])
        close(found, model.decode(codes[:batch], label[:batch]))


def test_torch_export_of_a_model_that_could_be_trained(model: GroupDNet) -> None:
    """With its gradients, and as it is called in training."""
    image, label = pictures(2)
    model.requires_grad_()
    program = torch.export.export(model, (image, label, None, torch.zeros(2, *model.config.code_shape)))
    picture, posterior = program.module()(image, label, None, torch.zeros(2, *model.config.code_shape))
    close(posterior.mean, model.encode(image, label).mean)
    close(picture, model.decode(posterior.mean, label))


@pytest.mark.filterwarnings("ignore")  # of the tracer about itself and about shapes
@pytest.mark.parametrize("tool", ["torch.export", "torch.jit"])
def test_many_codes_on_one_prepared_map(model: GroupDNet, tool: str) -> None:
    """What was folded and looked up for the map is in the graph; what is cached of pictures is not."""
    prepared = model.prepare(maps("cells", 1, 3, SIZE))
    assert prepared.folded
    codes = model.sample_codes(3, generator=generator())
    expected = model.decode(codes, prepared)
    recorded = (
        torch.export.export(Decode(model, prepared), (codes,)).module()
        if tool == "torch.export"
        else torch.jit.trace(Decode(model, prepared), (codes,))
    )
    close(recorded(codes.flip(0)), expected.flip(0))


@pytest.mark.filterwarnings("ignore")  # of the tracer about itself and about shapes
def test_torch_jit_trace(model: GroupDNet) -> None:
    codes = model.sample_codes(3, generator=generator())
    encode = torch.jit.trace(EncodeMean(model), pictures(2))
    decode = torch.jit.trace(Decode(model), (codes[:2], pictures(2)[1]))
    for batch in (1, 3):
        image, label = pictures(batch)
        close(encode(image, label), model.encode(image, label).mean)
        close(decode(codes[:batch], label), model.decode(codes[:batch], label))


@pytest.mark.filterwarnings("ignore")  # of the exporters about themselves
@pytest.mark.parametrize("dynamo", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_plain_onnx_export(model: GroupDNet, dynamo: bool, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs groupdnet-hub[export]")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs groupdnet-hub[export]")
    codes, label = model.sample_codes(2, generator=generator()), pictures(2)[1]
    path = tmp_path / "decode.onnx"
    # Not in training mode, to which the exporter would set it, and the model with it, back.
    module = Decode(model).eval()
    torch.onnx.export(module, (codes, label), path, dynamo=dynamo, input_names=["codes", "label"])
    session = onnxruntime.InferenceSession(path)
    (found,) = session.run(None, {"codes": codes.numpy(), "label": label.numpy()})
    close(torch.from_numpy(found), model.decode(codes, label))


@pytest.mark.parametrize("name", ["SPADE", "BicycleGAN"])
def test_torch_export_of_a_baseline(name: str, model: GroupDNet) -> None:
    """They check label maps as GroupDNet does."""
    system = build_system(system_config(name, model.labels, (16, 16), 8)).eval().requires_grad_(False)
    codes, label = system.sample_codes(2, generator=generator()), maps("noise", 2, 3, (16, 16))
    program = torch.export.export(Decode(system), (codes, label))
    torch.testing.assert_close(program.module()(codes, label), system.decode(codes, label), rtol=0, atol=1e-5)


def test_ids_are_checked_outside_of_graphs_and_not_in_them(model: GroupDNet) -> None:
    image, label = pictures(2)
    wrong = label.clone()
    wrong[0, 0, 0] = 3
    program = torch.export.export(EncodeMean(model), (image, label))
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    for _ in range(2):  # recording has left the check as it was
        with pytest.raises(ValueError, match="class id 3 at 1 pixels"):
            model.encode(image, wrong)
    buffer.seek(0)
    found = torch.export.load(buffer).module()(image, wrong)  # a pixel of no class, in no code
    assert torch.isfinite(found).all()
