"""The fast forms of the decoder against the paper's: look-up, folded statistics, cached groups; bits and gradients."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from groupdnet_hub import GroupDNet, GroupDNetConfig, GroupDNetPipeline, PairedImages
from groupdnet_hub.models.fast import decoder, folded_blocks, partial_sums
from groupdnet_hub.models.fast.cache import PreparedMapCache
from groupdnet_hub.models.fast.incremental import groups_reached
from groupdnet_hub.models.fast.partial_sums import part_widths
from groupdnet_hub.models.layers import GroupedConv2d
from tests.helpers.host_waits import NoHostWaits
from tests.helpers.network_models import generator, make_model, maps, plain_decode
from tests.helpers.shared_data import shared_folder


def check_all_forms(model: GroupDNet, label: Tensor, instance: Tensor | None = None) -> None:
    """First decode, another sample and a redrawn class, each against the plain network."""
    C = model.config.num_classes
    codes, others = (model.sample_codes(len(label), generator=generator(seed)) for seed in (0, 1))
    if model.config.latent_mode == "map":
        size = (label.shape[1], label.shape[2])
        codes, others = (
            model.sample_codes(len(label), generator=generator(seed), label_size=size) for seed in (0, 1)
        )
    redrawn = codes.clone()
    redrawn[:, [0, C - 1]] = others[:, [0, C - 1]]
    prepared = model.prepare(label, instance)
    assert prepared.folded
    for drawn in (codes, others, codes, redrawn):
        expected = plain_decode(model, drawn, label, instance)
        assert expected.std() > 0.01
        torch.testing.assert_close(model.decode(drawn, prepared), expected, rtol=0, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(
    kind=st.sampled_from(["one class", "noise", "one pixel", "cells"]),
    count=st.sampled_from([1, 2, 3, 7, 8, 11, 19]),
    batch=st.integers(1, 3),
    size=st.sampled_from([(8, 8), (32, 32), (32, 64), (96, 64)]),
    width=st.integers(1, 6),
    fields=st.fixed_dictionaries(
        {},
        optional={
            "instance_edges": st.just(True),
            "spectral_norm": st.just(False),
            "latent_mode": st.just("vector"),
            "latent_channels": st.integers(1, 9),
        },
    ),
)
@torch.no_grad()
def test_any_network_on_any_map(
    kind: str, count: int, batch: int, size: tuple[int, int], width: int, fields: dict
) -> None:
    model = make_model(count, size, width, **fields)
    if kind == "cells" and size == (8, 8):
        kind = "noise"
    label = maps(kind, batch, count, size)
    check_all_forms(model, label, maps("noise", batch, 3, size) if "instance_edges" in fields else None)


@pytest.mark.parametrize(
    ("name", "classes", "size"),
    [("fashion8", 8, (128, 128)), ("camvid", 12, (128, 128)), ("coco130", 130, (64, 64))],
)
@torch.no_grad()
def test_real_maps(name: str, classes: int, size: tuple[int, int]) -> None:
    data = PairedImages.from_folder(shared_folder(f"data/{name}"), size)
    label = torch.stack([data[i]["label"] for i in range(0, 3 * 20, 20)])
    model = make_model(int(max(classes, label.max() + 1)), size, 4)
    check_all_forms(model, label)
    check_all_forms(model, label[:1])


@pytest.mark.parametrize(
    ("name", "data"), [("deepfashion", "fashion8"), ("cityscapes", None), ("ade20k", "coco130")]
)
@torch.no_grad()
def test_the_schedules_of_the_paper(name: str, data: str | None) -> None:
    """Groups that do not nest (35, 20, 14, ...), class slots apart, edges: at an eighth of the size."""
    config = GroupDNetConfig.preset(name)
    narrow = {8: 16, 35: 560, 151: 604}[config.num_classes]
    model = make_model(config=shrunk(config, narrow))
    H, W = model.config.image_size
    label = maps("cells", 2, config.num_classes, (H, W))
    if data is not None:
        pictures = PairedImages.from_folder(shared_folder(f"data/{data}"), (H, W))
        label = torch.stack([pictures[i]["label"] for i in (3, 30)])
    check_all_forms(model, label, maps("cells", 2, 5, (H, W)) if config.instance_edges else None)


def shrunk(config: GroupDNetConfig, narrow: int) -> GroupDNetConfig:
    """Half the size and as few channels as the groups allow."""
    import dataclasses
    import math

    blocks, before = [], config.class_slots
    for i, block in enumerate(config.blocks):
        after = config.blocks[i + 1] if i + 1 < len(config.blocks) else block
        multiple = math.lcm(block.groups, after.groups, block.modulation_groups, after.modulation_groups)
        blocks.append(dataclasses.replace(block, out_channels=multiple * (2 if multiple < 16 else 1)))
    first = config.blocks[0]
    fc = math.lcm(config.class_slots, first.groups, first.modulation_groups, before)
    size = (config.image_size[0] // 2, config.image_size[1] // 2)
    return config.replace(
        blocks=tuple(blocks), fc_channels=fc, image_size=size, encoder_width=narrow, latent_channels=2
    )


@torch.no_grad()
def test_a_redrawn_class_gives_the_same_bits_as_a_decode_from_the_start() -> None:
    model = make_model(8, (128, 128), 4)
    label = maps("cells", 1, 8, (128, 128))
    codes, others = (model.sample_codes(generator=generator(seed)) for seed in (0, 1))
    prepared = model.prepare(label, keep=2)
    model.decode(codes, prepared)
    for classes in ([4], [0], [1, 6], list(range(8)), []):
        redrawn = codes.clone()
        redrawn[:, classes] = others[:, classes]
        fresh = model.decode(redrawn, model.prepare(label))
        assert torch.equal(model.decode(redrawn, prepared), fresh)
        assert len(prepared.cached) <= 2


@pytest.fixture
def merging(monkeypatch: pytest.MonkeyPatch) -> GroupDNet:
    """A network that keeps partial sums wherever its groups merge, as a wide one does on large maps."""
    for limit in ("WORTH_KEEPING", "LEAST_PIXELS"):
        monkeypatch.setattr(partial_sums, limit, 1)
    return make_model(8, (64, 64), 4)


@torch.no_grad()
def test_redrawn_bits_do_not_depend_on_which_partial_sums_are_at_hand(merging: GroupDNet) -> None:
    """Classes of one group and of several in turn, back to an older picture, without sums, and with nothing cached."""
    model, label = merging, maps("cells", 1, 8, (64, 64))
    prepared = model.prepare(label, keep=2)
    drawn = [model.sample_codes(generator=generator())]
    for seed, classes in enumerate(([4], [4], [0], [1, 6], [], [7], list(range(8)), [3])):
        redrawn = drawn[-1].clone()
        redrawn[:, classes] = model.sample_codes(generator=generator(10 + seed))[:, classes]
        drawn.append(redrawn)
    for number, codes in enumerate([*drawn, drawn[-3], drawn[-2], drawn[0]]):
        expected = model.decode(codes, model.prepare(label, keep=0))
        assert torch.equal(model.decode(codes, prepared), expected)
        assert any(sums.tensors() for sums in prepared.sums)
        if number == 5:
            prepared.forget_sums()
    torch.testing.assert_close(expected, plain_decode(model, codes, label), rtol=0, atol=1e-4)


@torch.no_grad()
def test_partial_sums_of_batches_are_those_of_single_pictures(merging: GroupDNet) -> None:
    model = merging
    label = torch.cat([maps(kind, 1, 8, (64, 64)) for kind in ("cells", "one pixel")])
    codes = model.sample_codes(2, generator=generator())
    found = model.decode(codes, label)
    torch.testing.assert_close(found, plain_decode(model, codes, label), rtol=0, atol=1e-4)
    assert all(not sums.tensors() for sums in model.prepare(label).sums)


@torch.no_grad()
def test_a_prepared_map_counts_its_partial_sums_once(merging: GroupDNet) -> None:
    model, label = merging, maps("cells", 1, 8, (64, 64))
    codes = model.sample_codes(generator=generator())
    one, four = model.prepare(label, keep=1), model.prepare(label, keep=4)
    for number in range(4):
        codes = codes.clone()
        codes[:, 2] += number
        model.decode(codes, one)
        model.decode(codes, four)
    with_sums = one.nbytes
    one.forget_sums()
    # Where groups merge (8 to 4, 4 to 2, 2 to 1): two sums of every result of conv_0 and of conv_s.
    merging_blocks = [i for i, block in enumerate(model.decoder.blocks) if block.groups < block.in_groups]
    expected = 0
    for i in merging_blocks:
        block = model.decoder.blocks[i]
        channels = block.conv_0.out_channels + block.conv_s.out_channels
        expected += 2 * 4 * channels * one.pixels_at(i)
    assert len(merging_blocks) == 3
    assert with_sums - one.nbytes == expected
    # The other kept pictures share with the newest what they have in common with it.
    assert four.nbytes - with_sums < 3 * sum(t.numel() * 4 for t in one.cached[0].tensors())


@torch.no_grad()
def test_a_cache_gives_up_partial_sums_before_pictures(merging: GroupDNet) -> None:
    model, label = merging, maps("cells", 1, 8, (64, 64))
    codes, other = (model.sample_codes(generator=generator(seed)) for seed in (0, 1))
    cache = PreparedMapCache(2**30)
    prepared = cache.prepared(model, label, None)
    model.decode(codes, prepared)
    cache.limit = prepared.nbytes - 1
    cache.tidy()
    assert cache.maps == (prepared,)
    assert prepared.cached
    assert not any(sums.tensors() for sums in prepared.sums)
    codes[:, 3] = other[:, 3]
    assert torch.equal(
        model.decode(codes, cache.prepared(model, label, None)),
        model.decode(codes, model.prepare(label, keep=0)),
    )


def test_parts_of_groups_that_merge() -> None:
    assert part_widths(320, 1, 2, 9, 65536) == (160, 160)
    assert part_widths(560, 1, 4, 9, 65536) == (280, 280)
    assert part_widths(320, 2, 2, 9, 65536) == (160, 160)  # each group continues one
    # Groups of 224 channels, made by groups of 160: cut at the seam nearest to the middle.
    assert part_widths(2240, 10, 14, 9, 4096)[:8] == (160, 64, 96, 128, 32, 192, 128, 96)
    assert part_widths(320, 1, 2, 9, 256) == (320,)  # small maps
    assert part_widths(80, 1, 2, 1, 65536) == (80,)  # little work for each result
    assert part_widths(320, 1, 1, 9, 65536) == (320,)


@torch.no_grad()
def test_a_redrawn_class_redoes_its_groups_only(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(8, (256, 256), 2)
    label = maps("cells", 1, 8, (256, 256))
    codes = model.sample_codes(generator=generator())
    work: list[int] = []
    compute = folded_blocks.convolve_groups

    def counted(layer: GroupedConv2d, x: Tensor, first: int, count: int) -> Tensor:
        out = compute(layer, x, first, count)
        work.append(out.numel() * layer.weight[0].numel())
        return out

    monkeypatch.setattr(folded_blocks, "convolve_groups", counted)
    prepared = model.prepare(label)
    model.decode(codes, prepared)
    everything, codes[:, 5] = sum(work), -codes[:, 5]
    work.clear()
    model.decode(codes, prepared)
    # Groups 8, 8, 4, 4, 2, 2, 1: the last block is whole, half of the two before it (section 3 of the schedule).
    assert 0.5 < sum(work) / everything < 0.72
    work.clear()
    model.decode(codes, prepared)
    assert not work


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """No search for windows by default, as on a device that the host would have to wait for."""
    assert decoder.searches_windows(torch.device("cpu"))
    assert not decoder.searches_windows(torch.device("cuda"))
    monkeypatch.setattr(decoder, "searches_windows", lambda device: False)


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize(
    "fields",
    [{}, {"spectral_norm": False}, {"instance_edges": True}, {"code_placement": "box"}],
    ids=["default", "unnormalised", "edges", "box"],
)
@torch.no_grad()
def test_folded_convolutions_of_whole_maps(fields: dict) -> None:
    """What a GPU takes instead of the look-up: every form of it, and the very numbers that are looked up."""
    model = make_model(8, (64, 64), 16, **fields)
    label = maps("cells", 2, 8, (64, 64))
    instance = maps("one pixel", 2, 3, (64, 64)) if "instance_edges" in fields else None
    for count in (2, 1):
        check_all_forms(model, label[:count], None if instance is None else instance[:count])
    dense, looked_up = (model.prepare(label, instance, lookup=lookup) for lookup in (None, True))
    assert all(m.index is None for block in dense.modulations for m in block.values())
    assert any(m.index is not None for block in looked_up.modulations for m in block.values())
    for of_block, others in zip(dense.modulations, looked_up.modulations, strict=True):
        for name, modulation in of_block.items():
            assert modulation.widths == others[name].widths
            for table, other in zip(modulation.tables, others[name].tables, strict=True):
                index = others[name].index
                rows = other if index is None else other[index.flatten()]
                torch.testing.assert_close(table, rows, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("as_on_a_gpu")
@torch.no_grad()
def test_a_first_decode_on_a_gpu_waits_once() -> None:
    """To check the label map: a new model has its singular values looked at as well, but once for its weights."""
    model, label = make_model(8, (64, 64), 4), maps("cells", 1, 8, (64, 64))
    codes = model.sample_codes(generator=generator())
    waits = []
    for _ in range(2):
        with NoHostWaits(collect=True) as watch:
            model.decode(codes, model.prepare(label))
        waits.append(watch.waits)
    assert len(waits[0]) == 2
    assert len(waits[1]) == 1
    assert "label.max()" in waits[1][0]
    with pytest.raises(ValueError, match="class id 8"):
        model.prepare(label + 1)


@torch.no_grad()
def test_singular_values_are_looked_at_again_when_weights_change() -> None:
    model, label = make_model(8, (64, 64), 4), maps("cells", 1, 8, (64, 64))
    assert model.prepare(label).folded
    model.decoder.blocks[0].conv_0.weight_u.neg_()
    assert not model.prepare(label).folded
    model.decoder.blocks[0].conv_0.weight_u.neg_()
    assert model.prepare(label).folded


def test_groups_that_do_not_nest() -> None:
    # 20 groups over 35: group 0 has channels of the first 1.75 of them.
    assert groups_reached([0], 35, 20) == {0}
    assert groups_reached([1], 35, 20) == {0, 1}
    assert groups_reached([34], 35, 20) == {19}
    assert groups_reached([3], 8, 8) == {3}
    assert groups_reached([0, 7], 8, 4) == {0, 3}
    assert groups_reached([5], 151, 1) == {0}


def test_gradients_to_the_codes_through_a_prepared_map() -> None:
    model = make_model(8, (64, 64), 4).requires_grad_(False)
    label = maps("cells", 1, 8, (64, 64))
    codes = model.sample_codes(generator=generator()).requires_grad_()
    gradients = []
    for lookup in (True, False):
        prepared = model.prepare(label, lookup=lookup)
        assert prepared.folded == lookup
        picture = model.decode(codes, prepared)
        (picture * torch.randn(picture.shape, generator=generator(3))).sum().backward()
        gradients.append(codes.grad.clone())
        codes.grad = None
    assert (gradients[0] - gradients[1]).norm() < 1e-3 * gradients[1].norm()


@torch.no_grad()
def test_training_does_not_take_a_map_of_evaluation_mode() -> None:
    model = make_model(3, (32, 32))
    codes = model.sample_codes(generator=generator())
    prepared = model.prepare(maps("cells", 1, 3, (32, 32)))
    model.train()
    with pytest.raises(ValueError, match="prepare it again"):
        model.decode(codes, prepared)
    assert not model.prepare(maps("cells", 1, 3, (32, 32))).folded


@torch.no_grad()
def test_half_precision_stays_near() -> None:
    model = make_model(8, (64, 64), 6)
    label = maps("cells", 2, 8, (64, 64))
    codes = model.sample_codes(2, generator=generator())
    expected = plain_decode(model, codes, label)
    half = model.to(torch.bfloat16)
    assert (half.decode(codes, label).float() - expected).abs().mean() < 0.03


def test_a_picture_does_not_depend_on_what_was_drawn_before() -> None:
    model = make_model(8, (64, 64), 4)
    pipe, fresh = GroupDNetPipeline(model), GroupDNetPipeline(model, cache_bytes=0)
    first, second = (maps(kind, 1, 8, (64, 64))[0].numpy() for kind in ("cells", "one pixel"))
    for mask in (first, second, first):
        look = pipe.sample(mask, seed=1)
        for seed, classes in ((2, "class 0"), (3, ["class 0", "class 7"])):
            look = pipe.reroll(look, classes, seed=seed)
            alone = fresh.reroll(fresh.sample(mask, seed=1), "class 0", seed=2)
            if seed == 3:
                alone = fresh.reroll(alone, classes, seed=3)
            assert look.image.tobytes() == alone.image.tobytes()


def test_new_weights_make_new_prepared_maps() -> None:
    model = make_model(3, (32, 32))
    pipe = GroupDNetPipeline(model)
    mask = maps("cells", 1, 3, (32, 32))[0].numpy()
    before = pipe.sample(mask, seed=0)
    with torch.no_grad():
        model.decoder.to_rgb.bias.add_(1.0)
    after = pipe.sample(mask, seed=0)
    assert before.image.tobytes() != after.image.tobytes()
    assert after.image.tobytes() == GroupDNetPipeline(model).sample(mask, seed=0).image.tobytes()


@torch.no_grad()
def test_cached_maps_stay_within_their_limit() -> None:
    model, cache = make_model(8, (64, 64), 4), PreparedMapCache(3 * 2**20)
    codes, left = model.sample_codes(generator=generator()), 0
    for seed in range(8):
        label = torch.randint(0, 8, (1, 64, 64), generator=generator(seed))
        model.decode(codes, cache.prepared(model, label, None))
        cache.tidy()
        assert sum(prepared.nbytes for prepared in cache.maps) <= cache.limit
        left = max(left, len(cache.maps))
    assert 0 < left < 8


def test_threads_share_a_model_and_its_prepared_maps() -> None:
    pipe = GroupDNetPipeline(make_model(8, (64, 64), 4))
    masks = [maps(kind, 1, 8, (64, 64))[0].numpy() for kind in ("cells", "noise", "one pixel")]
    jobs = [(masks[i % 3], i % 5) for i in range(24)]
    expected = [pipe.sample(mask, seed=seed).image.tobytes() for mask, seed in jobs]
    with ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(lambda job: pipe.sample(job[0], seed=job[1]).image.tobytes(), jobs))
    assert drawn == expected
