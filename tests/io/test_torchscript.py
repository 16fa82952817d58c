"""The tensors of TorchScript archives: those of torch.jit.load, without any of the archive's code."""

from __future__ import annotations

import contextlib
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from groupdnet_hub.io.torchscript import is_torchscript, read_torchscript_tensors


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(12.0).view(3, 4).T)  # its numbers lie in another order
        self.register_buffer("sixteen_bits", torch.tensor([0.5, -2.0], dtype=torch.float16))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(Inner(), Inner())
        self.third = nn.Parameter(torch.tensor(1 / 3, dtype=torch.float64))
        self.sizes = [1, 300, 70000]
        self.rate = 0.5

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.inner:
            x = layer(x)[:, :1] + self.rate + self.sizes[0] + self.third.float()
            x = x.expand(-1, 4)
        return x


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "net.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated; its archives stay
        torch.jit.script(Outer()).save(str(path))
    return path


def rewritten(archive: Path, path: Path, change: Callable[[str, bytes], bytes], method: int = 0) -> Path:
    """A copy of an archive, each entry as ``change`` makes it of its name and content."""
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(path, "w", method) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, change(entry.filename, source.read(entry)))
    return path


def with_description(archive: Path, path: Path, description: bytes) -> Path:
    return rewritten(archive, path, lambda name, data: description if name.endswith("/data.pkl") else data)


def test_the_tensors_are_those_that_torch_loads(archive: Path) -> None:
    found = read_torchscript_tensors(archive)
    expected = Outer().state_dict()
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)
        assert found[name].is_contiguous()


def test_the_code_is_left_alone(archive: Path, tmp_path: Path) -> None:
    def without_code(name: str, data: bytes) -> bytes:
        return b"this is no program" if "/code/" in name else data

    found = read_torchscript_tensors(rewritten(archive, tmp_path / "no_code.pt", without_code))
    assert torch.equal(found["inner.0.weight"], Inner().weight)


def test_other_files_are_told_apart(archive: Path, tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "state.pth")
    (tmp_path / "text.pt").write_text("no zip")
    assert is_torchscript(archive)
    for path in (tmp_path / "state.pth", tmp_path / "text.pt", tmp_path / "none.pt"):
        assert not is_torchscript(path)
        with pytest.raises(ValueError, match=path.name):
            read_torchscript_tensors(path)


class Harmful:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_calls_something_calls_nothing(archive: Path, tmp_path: Path, protocol: int) -> None:
    description = pickle.dumps(Harmful(tmp_path / "ran"), protocol)
    path = with_description(archive, tmp_path / "harmful.pt", description)
    with pytest.raises(ValueError, match=r"harmful\.pt cannot be read as a TorchScript archive"):
        read_torchscript_tensors(path)
    assert not (tmp_path / "ran").exists()


def test_a_description_that_grows_is_refused(archive: Path, tmp_path: Path) -> None:
    # 64 tuples, each of the one before twice: 2**64 items for whoever prints or hashes them, here as a module's key.
    nested = b"\x80\x02)" + b"q\x00h\x00h\x00\x86" * 64
    attack = nested + b"q\x01c__torch__\nNet\n)\x81}(h\x01K\x01ub."
    with pytest.raises(ValueError, match="a name in its description is not a text"):
        read_torchscript_tensors(with_description(archive, tmp_path / "keys.pt", attack))
    # A module that holds itself.
    inside = b"\x80\x02c__torch__\nNet\n)\x81q\x00}(X\x01\x00\x00\x00ah\x00ub."
    with pytest.raises(ValueError, match="too many or too deep"):
        read_torchscript_tensors(with_description(archive, tmp_path / "inside.pt", inside))


def test_tensors_beyond_their_numbers_are_refused(archive: Path, tmp_path: Path) -> None:
    def shorter(name: str, data: bytes) -> bytes:
        return data[:-4] if "/data/" in name else data

    with pytest.raises(ValueError, match="larger than its numbers"):
        read_torchscript_tensors(rewritten(archive, tmp_path / "short.pt", shorter))
    with pytest.raises(ValueError, match="unpacks to more than its size"):
        read_torchscript_tensors(
            rewritten(archive, tmp_path / "bomb.pt", lambda _, data: data, zipfile.ZIP_DEFLATED)
        )
    (tmp_path / "cut.pt").write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"cut\.pt cannot be read as a TorchScript archive"):
        read_torchscript_tensors(tmp_path / "cut.pt")


@pytest.mark.parametrize("seed", range(20))
def test_damaged_descriptions_are_read_or_refused(archive: Path, tmp_path: Path, seed: int) -> None:
    with zipfile.ZipFile(archive) as source:
        (name,) = (name for name in source.namelist() if name.endswith("/data.pkl"))
        data = bytearray(source.read(name))
    generator = torch.Generator().manual_seed(seed)
    for _ in range(3):
        place, value = (int(torch.randint(top, (1,), generator=generator)) for top in (len(data), 256))
        data[place] = value
    with contextlib.suppress(ValueError):  # and nothing else
        read_torchscript_tensors(with_description(archive, tmp_path / "damaged.pt", bytes(data)))
