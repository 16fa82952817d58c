"""The compiled kernels and the recorded decodes (CUDA graphs): the same pictures as without."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from groupdnet_hub import GroupDNet, GroupDNetPipeline
from groupdnet_hub.models.fast import decoder, folding, partial_sums
from groupdnet_hub.models.fast.cuda_graphs import RecordedDecode
from groupdnet_hub.models.fast.modulation import FoldedModulation
from tests.helpers.network_models import generator, make_model, maps

CUDA = pytest.param(
    "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
)


class Recorder:
    """Records as a CUDA graph does: the work runs, on the same tensors, whenever the recording is played."""

    def __init__(self) -> None:
        self.recorded = self.played = 0

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        self.recorded += 1
        work()  # a warm-up, which must leave nothing behind that a second run would change

        def play() -> None:
            self.played += 1
            work()

        return play


def model_and_map(device: str = "cpu", **fields: object) -> tuple[GroupDNet, Tensor]:
    return make_model(8, (64, 64), 4, **fields).to(device), maps("cells", 1, 8, (64, 64)).to(device)


def codes_to_draw(model: GroupDNet) -> list[Tensor]:
    """Codes of which each differs from the one before in no, one, two or all classes."""
    first, other, third = (model.sample_codes(1, generator=generator(seed)) for seed in range(3))
    one, two = first.clone(), first.clone()
    one[:, 5] = other[:, 5]
    two[:, [0, 5]] = third[:, [0, 5]]
    return [first, first, one, two, third, first, one]


@pytest.mark.parametrize("placement", ["frame", "box"])
@torch.no_grad()
def test_recorded_pictures_are_those_of_a_decode_from_the_start(placement: str) -> None:
    model, label = model_and_map(code_placement=placement)
    prepared, recorder = model.prepare(label, keep=0), Recorder()
    recorded = RecordedDecode(model.decoder, prepared, recorder)
    for codes in codes_to_draw(model):
        assert torch.equal(recorded.draw(codes), model.decode(codes, prepared))
    # {5}, {0, 5}, all but these, all of them, and {5} again.
    assert (recorder.recorded, recorder.played) == (4, 5)


@torch.no_grad()
def test_recorded_pictures_with_partial_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """They lie in the same memory throughout, and are brought up to date there."""
    model, label = model_and_map()
    without = RecordedDecode(model.decoder, model.prepare(label, keep=0), Recorder())
    without.draw(codes_to_draw(model)[0])
    for limit in ("WORTH_KEEPING", "LEAST_PIXELS"):
        monkeypatch.setattr(partial_sums, limit, 1)
    prepared, recorder = model.prepare(label, keep=0), Recorder()
    recorded = RecordedDecode(model.decoder, prepared, recorder)
    places: set[tuple[int, ...]] = set()
    for codes in [*codes_to_draw(model), *codes_to_draw(model)]:
        assert torch.equal(recorded.draw(codes), model.decode(codes, prepared))
        places.add(tuple(tensor.data_ptr() for tensor in recorded.tensors()))
    assert len(places) == 1
    distinct = {id(tensor): tensor for tensor in recorded.tensors()}
    assert recorded.nbytes == sum(t.numel() * t.element_size() for t in distinct.values()) > without.nbytes


@torch.no_grad()
def test_a_picture_is_the_callers_own() -> None:
    model, label = model_and_map()
    prepared = model.prepare(label, keep=0)
    recorded = RecordedDecode(model.decoder, prepared, Recorder())
    codes = model.sample_codes(1, generator=generator())
    expected = recorded.draw(codes).clone()
    recorded.draw(codes).zero_()
    codes_after = codes.clone()
    codes.zero_()
    assert torch.equal(recorded.draw(codes_after), expected)


def test_recordings_outlive_inference_mode() -> None:
    model, label = model_and_map()
    codes = codes_to_draw(model)
    with torch.inference_mode():
        prepared = model.prepare(label, keep=0)
        recorded = RecordedDecode(model.decoder, prepared, Recorder())
        recorded.draw(codes[0])
    with torch.no_grad():
        assert torch.equal(recorded.draw(codes[2]), model.decode(codes[2], prepared))


@torch.no_grad()
def test_old_recordings_leave() -> None:
    model, label = model_and_map()
    recorder = Recorder()
    recorded = RecordedDecode(model.decoder, model.prepare(label, keep=0), recorder)
    codes = model.sample_codes(1, generator=generator())
    recorded.draw(codes)
    # The last 32 of the sets stay: the newest and the oldest of them are played, the one before is recorded again.
    for number, count in [*((number, number) for number in range(1, 60)), (59, 59), (28, 59), (27, 60)]:
        codes = codes.clone()
        codes[:, [c for c in range(8) if number >> c & 1]] += 1
        recorded.draw(codes)
        assert recorder.recorded == count


def test_threads_take_turns() -> None:
    model, label = model_and_map()
    codes = codes_to_draw(model)
    with torch.no_grad():
        prepared = model.prepare(label, keep=0)
        recorded = RecordedDecode(model.decoder, prepared, Recorder())
        expected = [model.decode(c, prepared) for c in codes]
    with ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(recorded.draw, codes * 6))
    for i, image in enumerate(drawn):
        assert torch.equal(image, expected[i % len(codes)])


def test_cuda_graphs_need_cuda() -> None:
    model, label = model_and_map()
    with pytest.raises(ValueError, match="CUDA graphs need the model on a CUDA device; it is on cpu"):
        model.prepare(label, cuda_graphs=True)


@pytest.mark.parametrize("placement", ["frame", "box"])
@pytest.mark.parametrize("device", [CUDA])
def test_cuda_graphs(device: str, placement: str) -> None:
    model, label = model_and_map(device, code_placement=placement)
    with torch.no_grad():
        plain, prepared = model.prepare(label, keep=0), model.prepare(label, cuda_graphs=True)
        assert plain.folded
        for codes in codes_to_draw(model):
            torch.testing.assert_close(
                model.decode(codes, prepared), model.decode(codes, plain), rtol=0, atol=1e-4
            )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler: g++ is missing")
@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_compiled_kernels(device: str) -> None:
    """By default on a GPU those of whole maps too, which take a C++ compiler a minute."""
    model, label = model_and_map(device)
    with torch.no_grad():
        plain = model.prepare(label, keep=0)
        for prepared in (
            model.prepare(label, compiled=True),
            model.prepare(label, lookup=True, compiled=True),
        ):
            for codes in codes_to_draw(model)[1:4]:
                torch.testing.assert_close(
                    model.decode(codes, prepared), model.decode(codes, plain), rtol=0, atol=1e-4
                )


@pytest.mark.slow
@torch.no_grad()
def test_whole_maps_compile_as_one_graph_of_few_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    """At every resolution and width of a model, which needs no C++ compiler here."""
    graphs = []

    def counted(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    whole = torch.compile(folding.rows_of_weights, dynamic=True, fullgraph=True, backend=counted)
    monkeypatch.setattr(folding, "compiled_rows", lambda: whole)
    monkeypatch.setattr(decoder, "searches_windows", lambda device: False)
    torch._dynamo.reset()
    for size, width in (((64, 64), 4), ((32, 32), 6)):
        model, label = make_model(8, size, width), maps("cells", 1, 8, size)
        codes = model.sample_codes(1, generator=generator())
        expected = model.decode(codes, model.prepare(label, lookup=False))
        prepared = model.prepare(label, compiled=True)
        prepared = replace(prepared, modulations=tuple(map(not_compiled, prepared.modulations)))
        torch.testing.assert_close(model.decode(codes, prepared), expected, rtol=0, atol=1e-4)
    assert 1 <= len(graphs) <= 4


def not_compiled(modulations: Mapping[str, FoldedModulation]) -> dict[str, FoldedModulation]:
    return {name: replace(modulation, compiled=False) for name, modulation in modulations.items()}


def test_the_pipeline_passes_the_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    model, label = model_and_map()
    asked = []
    prepare = model.prepare

    def prepare_seen(*args: Tensor, **options: object) -> object:
        asked.append((options.pop("compiled"), options.pop("cuda_graphs")))
        return prepare(*args, **options)

    monkeypatch.setattr(model, "prepare", prepare_seen)
    pipe = GroupDNetPipeline(model, compiled=True, cuda_graphs=True)
    pipe.sample(label[0].numpy().astype("uint8"), seed=0)
    assert asked == [(True, True)]
