"""Threads that share a model, and processes that share a cache of the Hub."""

from __future__ import annotations

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from groupdnet_hub import GroupDNet, GroupDNetPipeline
from tests.helpers.fake_hub import FakeHub
from tests.helpers.hub_models import fingerprint
from tests.helpers.hub_models import make_model as make_saved_model
from tests.helpers.network_models import make_model, maps

THREADS = 16
# Loads when it is told to, so that all processes do at once.
LOADER = """
import sys
from tests.helpers.hub_models import fingerprint
from groupdnet_hub import GroupDNet
print("ready", flush=True)
sys.stdin.readline()
print(fingerprint(GroupDNet.from_pretrained("user/model", cache_dir=sys.argv[1])))
"""


class Counted(GroupDNetPipeline):
    """Tells how many label maps were prepared."""

    def __init__(self, model: GroupDNet, cache_bytes: int) -> None:
        super().__init__(model, cache_bytes=cache_bytes)
        self.prepared = 0
        prepare = model.prepare

        def counting(*args: object, **options: object) -> object:
            self.prepared += 1
            return prepare(*args, **options)

        object.__setattr__(model, "prepare", counting)


def draw(pipe: GroupDNetPipeline, mask: np.ndarray, seed: int) -> list[bytes]:
    """A sample, two rerolls, a morph and an edit: the prepared map is used again and again."""
    look = pipe.sample(mask, seed=seed)
    looks = [look, pipe.reroll(look, "class 0", seed=seed + 1), pipe.reroll(look, "class 7", seed=seed + 2)]
    looks += pipe.morph(looks[1], looks[2], steps=2, span=(0.3, 0.6))
    looks.append(pipe.edit(look, mask[:, ::-1].copy()))
    return [one.image.tobytes() for one in looks]


@pytest.mark.slow
def test_sixteen_threads_draw_what_one_draws() -> None:
    """Two precisions side by side, and a memory limit at which prepared maps leave while others use them."""
    masks = [maps(kind, 1, 8, (64, 64))[0].numpy() for kind in ("cells", "noise", "one pixel", "one class")]
    models = [make_model(8, (64, 64), 4), make_model(8, (64, 64), 4).to(torch.bfloat16)]
    jobs = [(number % 2, masks[number // 2 % 4], number % 3) for number in range(4 * THREADS)]
    alone = [GroupDNetPipeline(model, cache_bytes=0) for model in models]
    expected = {}
    for which, mask, seed in jobs:
        key = (which, mask.tobytes(), seed)
        if key not in expected:
            expected[key] = draw(alone[which], mask, seed)
    assert len({picture for pictures in expected.values() for picture in pictures}) > len(jobs) // 2
    pipes = [Counted(model, cache_bytes=2**20) for model in models]
    random.Random(0).shuffle(jobs)
    with ThreadPoolExecutor(THREADS) as pool:
        drawn = list(pool.map(lambda job: draw(pipes[job[0]], *job[1:]), jobs))
    for (which, mask, seed), pictures in zip(jobs, drawn, strict=True):
        assert pictures == expected[which, mask.tobytes(), seed]
    for pipe in pipes:
        assert pipe.prepared > 2 * len(masks), "no prepared map had to leave"
        pipe.prepared_maps.tidy()
        assert sum(prepared.nbytes for prepared in pipe.prepared_maps.maps) <= 2**20


def test_sixteen_threads_decode_what_one_decodes() -> None:
    """The networks themselves, with batches, prepared maps that are shared and maps that are not prepared."""
    model = make_model(8, (64, 64), 4).requires_grad_(False)
    labels = [maps(kind, 1, 8, (64, 64)) for kind in ("cells", "noise", "one pixel")]
    codes = [model.sample_codes(batch, generator=torch.Generator().manual_seed(batch)) for batch in (1, 2, 3)]
    shared = [model.prepare(label, keep=4) for label in labels]
    jobs = [(i, j, way) for i in range(3) for j in range(3) for way in ("prepared", "label")] * 3

    def decode(job: tuple[int, int, str]) -> torch.Tensor:
        i, j, way = job
        if way == "prepared":
            return model.decode(codes[i], shared[j])
        return model.decode(codes[i], labels[j].expand(len(codes[i]), -1, -1))

    expected = {job: model.decode(codes[job[0]], labels[job[1]]) for job in jobs if job[2] == "prepared"}
    expected |= {job: decode(job) for job in jobs if job[2] == "label"}
    with ThreadPoolExecutor(THREADS) as pool:
        for job, image in zip(jobs, pool.map(decode, jobs), strict=True):
            assert torch.equal(image, expected[job])


@pytest.mark.parametrize("processes", [3, pytest.param(12, marks=pytest.mark.slow)])
def test_processes_fill_one_cache_together(processes: int, tmp_path: Path) -> None:
    make_saved_model(0).save_pretrained(tmp_path / "model")
    hub = FakeHub()
    hub.add("user/model", {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()})
    with hub.serving():
        environment = hub.environment(tmp_path / "home")
        environment["OMP_NUM_THREADS"] = "1"
        started = [
            subprocess.Popen(
                [sys.executable, "-c", LOADER, str(tmp_path / "cache")],
                env=environment,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for _ in range(processes)
        ]
        for process in started:
            assert process.stdout.readline() == "ready\n", process.communicate()[1][-2000:]
        for process in started:
            process.stdin.write("\n")
            process.stdin.flush()
        outcomes = [process.communicate(timeout=300) for process in started]
    for out, err in outcomes:
        assert out.strip() == fingerprint(make_saved_model(0)), err[-2000:]
    assert not list((tmp_path / "cache").rglob("*.incomplete"))
