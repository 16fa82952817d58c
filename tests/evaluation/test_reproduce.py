"""reproduce.py: one command trains and measures the systems of a table, resumes where it stopped, and prints them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from groupdnet_hub import GroupDNetConfig, LabelSet
from groupdnet_hub.baselines import SYSTEMS
from groupdnet_hub.figures import write_figures
from tests.helpers.shared_data import shared_folder

pytest.importorskip("accelerate")
from groupdnet_hub.evaluation.paper_tables import PAPER_TABLES
from groupdnet_hub.evaluation.reproduce_plan import SCALES, study_entries, table_entries, train_flags
from groupdnet_hub.evaluation.reproduce_report import measured
from groupdnet_hub.io import downloads
from groupdnet_hub.runs import scripts as script_runs
from train import reproduce

LABELS = LabelSet.from_names([f"class {i}" for i in range(8)])


class Scripts:
    """Stands for train.py and evaluate.py: writes what they would, and remembers the commands."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.failing = ""

    def start(self, command: list[str]) -> SimpleNamespace:
        """Stand for ``subprocess.Popen``."""
        status = self._run(command)
        return SimpleNamespace(wait=lambda timeout: status)

    def _run(self, command: list[str]) -> int:
        self.commands.append(command)
        (script,) = (Path(part).name for part in command if part.endswith(".py"))
        if self.failing and self.failing in " ".join(command):
            return 1
        if script == "train.py":
            model = Path(command[command.index("--output_dir") + 1]) / "model"
            model.mkdir()
            (model / "model.safetensors").write_bytes(b"")
        else:
            output = Path(command[command.index("--output") + 1])
            output.write_text(json.dumps(results(output.parent.name)))
        return 0

    def names(self) -> list[str]:
        """train.py or evaluate.py, and the system, of each command."""
        return [f"{self._script(c)} {self._system(c)}" for c in self.commands]

    def _script(self, command: list[str]) -> str:
        return next(Path(part).stem for part in command if part.endswith(".py"))

    def _system(self, command: list[str]) -> str:
        flag = "--output_dir" if "--output_dir" in command else "--output"
        place = Path(command[command.index(flag) + 1])
        return (place if flag == "--output_dir" else place.parent).name


def results(name: str) -> dict:
    """A results file with the paper's values, except GroupDec's and with VSPADE better than GroupEnc."""
    row = next((rows[name] for rows in PAPER_TABLES.values() if name in rows and "mcsd" in rows[name]), None)
    row = row or {"mcsd": 0.02, "mocd": 0.01, "lpips": 0.2, "fid": 10.0, "params": 100.0, "fps": 5.0}
    reading = {
        key: {"value": row[key] / (10 if name == "VSPADE" else 1), "interval": None}
        for key in ("mcsd", "mocd")
    }
    found = {
        "classes": {"image_mean": reading, "masked": reading, "region_mean": reading},
        "lpips": {"lpips": {"value": row["lpips"], "interval": None}},
        "frechet": {
            "name": "Frechet distance (x)",
            "value": row["fid"],
            "images": 1500,
            "kid": {"name": "KID (x)", "value": 0.0123, "standard_error": 0.001},
        },
        "fps": {"fps": row["fps"]},
        "params": int(row["params"] * 1e6),
        "macs": 10,
    }
    return {"parts": {part: {"settings": {}, "result": result} for part, result in found.items()}}


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Scripts:
    stand_in = Scripts()
    monkeypatch.setattr(script_runs.subprocess, "Popen", stand_in.start)
    monkeypatch.setattr(reproduce, "commit", lambda: "abc1234")
    monkeypatch.setattr(reproduce, "machine", lambda: "a machine")
    return stand_in


@pytest.fixture(autouse=True)
def _in_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights can be downloaded, none are here."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(downloads, "unreachable", lambda _: None)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for split in ("train", "validation"):
        write_figures(tmp_path / "drawn", 4, size=(32, 32), split=split)
    return tmp_path / "drawn"


def test_every_system_sees_as_many_pictures() -> None:
    for scale in SCALES.values():
        for table in PAPER_TABLES:
            entries = table_entries(table)
            flags = [train_flags(e, scale, processes=2, pictures=None, perceptual=[]) for e in entries]
            seen = set()
            for one in flags:
                batch = int(one[one.index("--train_batch_size") + 1])
                assert batch * 2 == scale.batch
                budget = "--num_train_epochs" if scale.epochs else "--max_train_steps"
                seen.add(one[one.index(budget) + 1])
            assert len(seen) == 1
    small = train_flags(entries[0], SCALES["small"], processes=1, pictures=80, perceptual=[])
    assert small[small.index("--max_train_steps") + 1] == "10"
    with pytest.raises(ValueError, match="cannot divide a batch of 8"):
        train_flags(entries[0], SCALES["small"], processes=3, pictures=None, perceptual=[])


def test_rivals_keep_their_own_rates() -> None:
    for entry in (*table_entries(1), *table_entries(2)):
        flags = train_flags(entry, SCALES["small"], processes=1, pictures=None, perceptual=[])
        assert ("--learning_rate" in flags) == (SYSTEMS[entry.system].objective == "hinge")


def test_the_study_crosses_schedules_and_orders() -> None:
    entries = study_entries(LABELS, (64, 64))
    assert len(entries) == len({entry.name for entry in entries}) == 6
    assert sum(entry.name == "GroupDNet" for entry in entries) == 1
    schedules = set()
    for entry in entries:
        if entry.flags:
            groups = tuple(int(g) for g in entry.flags[1 : entry.flags.index("--class_order")])
            assert GroupDNetConfig.for_labels(LABELS, (64, 64), 8, groups=groups)
            schedules.add(groups)
    assert schedules == {(8, 8, 4, 2, 1), (8, 4, 2, 1, 1), (8, 8, 8, 8, 1)}


def test_what_is_done_is_not_done_again(scripts: Scripts, data: Path, tmp_path: Path) -> None:
    command = ["--table", "1", "--data_dir", str(data), "--output_dir", str(tmp_path / "out")]
    command += ["--systems", "GroupDNet", "VSPADE"]
    scripts.failing = "VSPADE/results.json"
    with pytest.raises(ValueError, match=r"evaluate\.py ended with status 1 for VSPADE"):
        reproduce.main(command)
    assert scripts.names() == ["train VSPADE", "evaluate VSPADE"]
    scripts.failing = ""
    reproduce.main(command)
    assert scripts.names()[2:] == ["evaluate VSPADE", "train GroupDNet", "evaluate GroupDNet"]
    reproduce.main(command)
    assert len(scripts.names()) == 5
    flags = scripts.commands[3]
    assert flags[flags.index("--resume_from_checkpoint") + 1] == "latest"
    # Another budget is another run.
    with pytest.raises(ValueError, match="was trained with other flags"):
        reproduce.main([*command, "--pictures", "64"])
    # GroupDNet of Table 3 is that of Table 1.
    reproduce.main([*command[:1], "3", *command[2:6], "--systems", "GroupDNet"])
    assert len(scripts.names()) == 5
    assert (tmp_path / "out" / "table-3.md").is_file()
    with pytest.raises(SystemExit):
        reproduce.main([*command[:6], "--systems", "StyleGAN"])


def test_weights_out_of_reach_are_told_before_hours_of_training(
    scripts: Scripts, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(url: str) -> str | None:
        return None if "vgg" in url else "Name or service not known"

    command = ["--table", "1", "--data_dir", str(data), "--output_dir", str(tmp_path / "out")]
    command += ["--systems", "GroupDNet"]
    monkeypatch.setattr(downloads, "unreachable", unreachable)
    with pytest.raises(ValueError, match=r"of alexnet cannot be downloaded .* with --alexnet_weights"):
        reproduce.main(command)
    monkeypatch.setattr(downloads, "unreachable", lambda _: "Name or service not known")
    with pytest.raises(ValueError, match=r"of vgg16 cannot be downloaded .* with --perceptual_weights"):
        reproduce.main(command)
    assert scripts.commands == []
    # Nothing is needed of what is done.
    monkeypatch.setattr(downloads, "unreachable", lambda _: None)
    reproduce.main(command)
    monkeypatch.setattr(downloads, "unreachable", lambda _: "Name or service not known")
    reproduce.main(command)
    assert len(scripts.commands) == 2


def test_the_table_says_how_it_was_made_and_where_it_differs(
    scripts: Scripts, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["--table", "1", "3", "--data_dir", str(data), "--output_dir", str(out), "--num_processes", "2"]
    reproduce.main(command)
    assert len(scripts.commands) == 2 * 13
    assert all("torch.distributed.run" in command for command in scripts.commands)
    text = (out / "table-1.md").read_text()
    assert "| GroupDNet | 9.50 (9.50) | 0.0264 (0.0264) | 0.0033 (0.0033) | 0.228 (0.228) |" in text
    assert "Frechet distance (x), n = 1,500 (FID) ↓" in text
    assert "| KID (x) ↓ |" in text
    assert "| 0.0123 ± 0.0010 |" in text
    assert "GroupDNet's mCSD / mOCD is 48.5 times VSPADE's" in text
    assert "GroupEnc's mOCD is 0.0065, lower than GroupDec's 0.0257" in text
    # Divided by ten, VSPADE's mCSD is below those of five systems that it is above in the paper.
    assert "mCSD: 23 of 28 pairs of systems are in the paper's order; not so" in text
    assert "FID: 28 of 28 pairs of systems are in the paper's order." in text
    assert "Commit abc1234; a machine" in text
    assert "python train/reproduce.py --table 1 3" in text
    assert "6,400 pictures of 64x64 in batches of 8" in text
    ablations = (out / "table-3.md").read_text()
    assert "| w/o split | 10.76 (10.76) |" in ablations
    assert ablations in capsys.readouterr().out


def test_the_study_has_a_table_of_its_own(scripts: Scripts, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    reproduce.main(["--study", "schedules", "--data_dir", str(data), "--output_dir", str(out)])
    text = (out / "schedules.md").read_text()
    assert len(scripts.commands) == 12
    assert "| falling-ids | 9.50 | 0.0264 |" in text
    assert "late-likeness: `--groups 8 8 8 8 1 --class_order likeness`" in text


@pytest.mark.slow
def test_the_full_chain_on_real_photos(tmp_path: Path) -> None:
    data, weights = shared_folder("data/fashion8"), shared_folder("weights")
    command = ["--table", "1", "--data_dir", str(data), "--output_dir", str(tmp_path), "--pictures", "16"]
    command += ["--systems", "VSPADE", "GroupEnc"]
    for flag, file in (("perceptual", "vgg16"), ("frechet", "vgg16"), ("alexnet", "alexnet")):
        command += [f"--{flag}_weights", str(weights / f"{file}_features.safetensors")]
    from tests.helpers.train_runs import ROOT

    script = [str(ROOT / "train" / "reproduce.py"), *command]
    done = subprocess.run(
        [reproduce.sys.executable, *script], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = measured(tmp_path / "GroupEnc")
    assert found is not None
    assert set(found.values) == {"fid", "mcsd", "mocd", "lpips", "fps", "params"}
    assert "| GroupEnc |" in (tmp_path / "table-1.md").read_text()


def test_a_finished_system_is_not_taken_for_one_of_other_data(
    scripts: Scripts, data: Path, tmp_path: Path
) -> None:
    command = ["--table", "1", "--output_dir", str(tmp_path / "out"), "--systems", "VSPADE", "--data_dir"]
    reproduce.main([*command, str(data)])
    for split in ("train", "validation"):
        write_figures(tmp_path / "other", 3, size=(32, 32), split=split)
    with pytest.raises(ValueError, match=r"VSPADE was trained on other data than .* this one has 3"):
        reproduce.main([*command, str(tmp_path / "other")])
    # A record of an earlier version says nothing of them.
    record = tmp_path / "out" / "VSPADE" / "run.json"
    before = json.loads(record.read_text())
    del before["data"]
    record.write_text(json.dumps(before))
    reproduce.main([*command, str(data)])
    assert len(scripts.commands) == 2
