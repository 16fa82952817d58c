"""What is written while it may be killed: each with an old state, a new one, and what must hold in between."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from page.human_eval.answers import Answers
from page.human_eval.study import make_question
from PIL import Image

from groupdnet_hub import GroupDNet, GroupDNetPipeline, Look, load_system
from groupdnet_hub.baselines import System, build_system, system_config
from groupdnet_hub.training.state.checkpoints import (
    find_checkpoint,
    finish_checkpoints,
    list_checkpoints,
    load_checkpoint,
    read_progress,
    save_checkpoint,
)
from tests.helpers.hub_models import CONFIG, fingerprint, make_model
from tests.helpers.raw_data import folder_flags
from train import prepare

OLD, NEW = "old", "new"


class Writer:
    """Writes one kind of thing into a folder.

    Attributes:
        label: what is written, for people.
        promises: how often :meth:`write` reports.
        folder: where; made by :meth:`begin`.
        scratch: for what the writer itself needs.
    """

    label = ""
    promises = 1

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder, self.scratch = folder, scratch

    def begin(self) -> None:
        """Put the old state there."""
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.write_old()

    def write_old(self) -> None:
        raise NotImplementedError

    def write(self, report: Callable[[], None]) -> None:
        """Write the new state; ``report`` is called for each part that is promised to stay."""
        raise NotImplementedError

    def found(self, reported: int) -> str:
        """``OLD`` or ``NEW``, whichever is there, whole.

        Raises:
            ValueError, AssertionError: if neither is.
        """
        raise NotImplementedError

    def start_again(self) -> None:
        """What the next run does, to the end."""
        self.write(lambda: None)

    def names(self) -> set[str]:
        """All files there."""
        return {p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*")}


class ModelWriter(Writer):
    """``save_pretrained`` over a model of other classes, so that files of both do not fit each other."""

    label = "save_pretrained, GroupDNet"

    def models(self) -> tuple[System, System]:
        config = CONFIG.replace(class_names=("sea", "ship", "gull"))
        return make_model(0), GroupDNet(config, generator=torch.Generator().manual_seed(1)).eval()

    def __init__(self, folder: Path, scratch: Path) -> None:
        super().__init__(folder, scratch)
        self.old, self.new = self.models()
        self.new.card_facts = {"steps": 2}

    def write_old(self) -> None:
        self.old.save_pretrained(self.folder)

    def write(self, report: Callable[[], None]) -> None:
        self.new.save_pretrained(self.folder)
        report()

    def found(self, reported: int) -> str:
        loaded = load_system(self.folder)
        state = {fingerprint(self.old): OLD, fingerprint(self.new): NEW}[fingerprint(loaded)]
        assert loaded.card_facts == (self.new if state == NEW else self.old).card_facts
        return state


class BaselineWriter(ModelWriter):
    """The same for a system of Table 1 that is no GroupDNet."""

    label = "save_pretrained, VSPADE"

    def models(self) -> tuple[System, System]:
        labels = make_model().labels
        one, other = (
            build_system(
                system_config("VSPADE", labels, (32, 32), width, discriminator_width=4),
                generator=torch.Generator().manual_seed(width),
            ).eval()
            for width in (4, 8)
        )
        return one, other


class LookWriter(Writer):
    """``Look.save`` over another look: with an instance map over one without, and the other way round."""

    label = "Look.save"

    def __init__(self, folder: Path, scratch: Path) -> None:
        super().__init__(folder, scratch)
        pipe = GroupDNetPipeline(make_model())
        mask = np.arange(32 * 32).reshape(32, 32) // 400
        self.old, plain = pipe.sample(mask, seed=1), pipe.sample(1 - mask.clip(0, 1), seed=2)
        self.new = Look(plain.image, plain.codes, plain.mask, plain.seed, instance=mask)

    def begin(self) -> None:
        self.old, self.new = self.new, self.old
        super().begin()

    def write_old(self) -> None:
        self.old.save(self.folder)

    def write(self, report: Callable[[], None]) -> None:
        self.new.save(self.folder)
        report()

    def found(self, reported: int) -> str:
        loaded = Look.load(self.folder)
        state = OLD if loaded.seed == self.old.seed else NEW
        expected = self.old if state == OLD else self.new
        assert torch.equal(loaded.codes.tensor, expected.codes.tensor)
        assert np.array_equal(loaded.mask, expected.mask)
        assert loaded.image.tobytes() == expected.image.tobytes()
        assert (loaded.instance is None) == (expected.instance is None)
        return state


class CheckpointWriter(Writer):
    """A checkpoint, the only one that is to be kept; every other time one that replaces another of its step."""

    label = "training checkpoint"

    def __init__(self, folder: Path, scratch: Path) -> None:
        super().__init__(folder, scratch)
        self.accelerator = Accelerator(cpu=True)
        self.model = make_model()
        self.network = self.accelerator.prepare(torch.nn.Linear(64, 64))
        self.optimizer = self.accelerator.prepare(torch.optim.Adam(self.network.parameters()))
        self.old_step = 2

    def begin(self) -> None:
        self.old_step = 6 - self.old_step
        super().begin()

    def _save(self, step: int, state: str) -> None:
        with torch.no_grad():
            self.network.weight.fill_(float(state == NEW))

        def write_more(folder: Path) -> None:
            self.model.save_pretrained(folder / "generator")

        save_checkpoint(self.accelerator, self.folder, step, {"new": int(state == NEW)}, write_more, 1)

    def write_old(self) -> None:
        self._save(self.old_step, OLD)

    def write(self, report: Callable[[], None]) -> None:
        finish_checkpoints(self.folder)
        self._save(4, NEW)
        report()

    def found(self, reported: int) -> str:
        for folder in list_checkpoints(self.folder):
            read_progress(folder)  # what has the name of a checkpoint is whole
        again = self.scratch / "started again"  # finishing changes the folder: on a copy
        shutil.copytree(self.folder, again)
        try:
            finish_checkpoints(again)
            found = find_checkpoint(again, "latest", print)
            assert found is not None
            load_checkpoint(self.accelerator, found)
            state = NEW if found.progress["new"] else OLD
            assert bool(self.network.weight.eq(float(state == NEW)).all())
            GroupDNet.from_pretrained(list_checkpoints(again)[-1] / "generator")
            assert not [path for path in again.iterdir() if path.name.startswith(".")]
        finally:
            shutil.rmtree(again)
        return state


class PrepareWriter(Writer):
    """prepare.py on a folder that holds the first two of its pictures already."""

    label = "prepare.py"
    pictures, before = 8, 2

    def __init__(self, folder: Path, scratch: Path) -> None:
        super().__init__(folder, scratch)
        self.flags = [*folder_flags(scratch / "raw", self.pictures), "--num_workers", "0"]
        self._run(scratch / "whole")
        self.whole = self._contents(scratch / "whole")

    def _run(self, output: Path, *more: object) -> None:
        flags = [*self.flags, *map(str, ("--output", output, *more))]
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            status = prepare.main(flags)
        if status:
            raise OSError(f"prepare.py ended with {status}")

    @staticmethod
    def _contents(folder: Path) -> dict[str, bytes]:
        files = [
            p for p in folder.rglob("*") if p.is_file() and p.name not in (".prepare.jsonl", ".prepare.lock")
        ]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    def write_old(self) -> None:
        self._run(self.folder, "--max_items", self.before)

    def write(self, report: Callable[[], None]) -> None:
        self._run(self.folder)
        assert self._contents(self.folder) == self.whole
        report()

    def found(self, reported: int) -> str:
        split = self.folder / "train"
        there = self._contents(self.folder)
        for name, content in there.items():
            if not name.endswith((".partial", "metadata.jsonl")):
                assert content == self.whole[name], f"{name} is not whole"
        journal = (split / ".prepare.jsonl").read_text().splitlines(keepends=True)
        listed = [json.loads(line)["entry"] for line in journal if line.endswith("\n")]
        for entry in [*listed, *map(json.loads, (split / "metadata.jsonl").read_text().splitlines())]:
            for file in entry.values():
                Image.open(split / file).load()
        count = len((split / "metadata.jsonl").read_text().splitlines())
        return {self.before: OLD, self.pictures: NEW}[count]


class AnswersWriter(Writer):
    """Answers of the human evaluation: every one that was taken stays, the one under way is there or not."""

    label = "SHE answers (SQLite)"
    before, count = 5, 30
    promises = count - before

    @property
    def answers(self) -> Answers:
        return Answers(self.folder / "answers.sqlite3")

    def _next(self) -> int:
        due = self.answers.next_question("rater", ["she"])
        assert due is not None
        return due[1]

    def _add(self, number: int) -> None:
        self.answers.add(make_question("rater", "she", number, ["one"], [("a.png", ["hair"])]), True)

    def write_old(self) -> None:
        self.folder.mkdir()
        for number in range(self.before):
            self._add(number)

    def write(self, report: Callable[[], None]) -> None:
        for number in range(self._next(), self.count):
            self._add(number)
            report()

    def found(self, reported: int) -> str:
        there = self._next()
        assert there - self.before - reported in (0, 1)
        assert self.answers.as_csv(str).count("\n") == there + 1
        with contextlib.closing(sqlite3.connect(self.answers.path)) as file:
            assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return NEW if there == self.count else OLD


WRITERS: dict[str, type[Writer]] = {
    "model": ModelWriter,
    "baseline": BaselineWriter,
    "look": LookWriter,
    "checkpoint": CheckpointWriter,
    "prepare": PrepareWriter,
    "answers": AnswersWriter,
}
