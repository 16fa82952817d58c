"""Saving and loading, locally and on the Hugging Face Hub: strict, atomic, safetensors only."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from huggingface_hub import ModelHubMixin, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from groupdnet_hub.config import GroupDNetConfig
from groupdnet_hub.model_card import CARD_MARK, model_card

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
FACTS_FILE = "training.json"
CARD_FILE = "README.md"

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

ModelT = TypeVar("ModelT", bound="StrictHubMixin")


class StrictHubMixin(ModelHubMixin):
    """``save_pretrained``, ``from_pretrained`` and ``push_to_hub`` for a module that is built from a configuration.

    Attributes:
        card_facts: what the model card says of the training: plain JSON values, saved and loaded with the model. Keys
            that the card knows: data, training_pictures, steps, batch_size, perceptual_net, loss_weights, precision,
            license, license_note, metrics (name: value), notes (list of sentences).
    """

    config: GroupDNetConfig
    card_facts: dict[str, Any]

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        *,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        config: Any = None,
        model_card_kwargs: Mapping[str, Any] | None = None,
        **push_to_hub_kwargs: Any,
    ) -> str | None:
        """Write ``config.json``, ``model.safetensors``, ``training.json`` and a model card.

        Each file is written under another name first and then renamed, the configuration last; weights and
        configuration of different saves are told apart when they are loaded. Weights keep their precision. A
        ``README.md`` that was edited by hand (its first comment removed) is left alone.

        Args:
            save_directory: a folder, made if it is missing.
            repo_id: name on the Hub, for the card's usage and for ``push_to_hub``.
            push_to_hub: upload as well; further arguments are those of :meth:`push_to_hub`.
            config, model_card_kwargs: not used; the mixin's ``push_to_hub`` passes them.
        """
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        config_text = self.config.to_json()
        module = _as_module(self)
        tensors = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
        metadata = {"format": "pt", "config_sha256": _digest(config_text)}
        with _Partial(folder / WEIGHTS_FILE) as partial:
            save_file(tensors, partial, metadata=metadata)
        with _Partial(folder / FACTS_FILE) as partial:
            partial.write_text(
                json.dumps(self.card_facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
            )
        card_path = folder / CARD_FILE
        if not card_path.exists() or CARD_MARK in card_path.read_text(encoding="utf-8", errors="replace"):
            parameters = sum(p.numel() for p in module.parameters())
            with _Partial(card_path) as partial:
                name = repo_id or folder.name
                partial.write_text(
                    model_card(self.config, parameters, self.card_facts, name), encoding="utf-8"
                )
        with _Partial(folder / CONFIG_FILE) as partial:
            partial.write_text(config_text, encoding="utf-8")
        if push_to_hub:
            return self.push_to_hub(repo_id or folder.name, **push_to_hub_kwargs)
        return None

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls: type[ModelT],
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        dtype: torch.dtype | str | None = None,
        device: str | torch.device | None = None,
    ) -> ModelT:
        """Load what :meth:`save_pretrained` wrote, from a folder or the Hub, in evaluation mode.

        Args:
            pretrained_model_name_or_path: an existing folder, or a Hub id ``user/name``.
            revision, cache_dir, token, local_files_only, force_download: as ``hf_hub_download`` takes them.
            dtype: precision of the weights: float32 by default, ``"auto"`` for that of the file, or another one.
            device: where the model goes; the CPU by default.

        Raises:
            FileNotFoundError: for a folder that is missing or lacks a file, a file that the repository lacks, and
                (``LocalEntryNotFoundError``) a model that is neither cached nor reachable.
            huggingface_hub.errors.RepositoryNotFoundError, RevisionNotFoundError, GatedRepoError: of the Hub.
            ValueError: for a damaged or foreign file, tensors that are missing, left over or of a wrong shape, a
                configuration of another version or one that cannot work.
        """
        wanted = _checked_dtype(dtype)
        source = str(pretrained_model_name_or_path)
        files = _find_files(
            source,
            revision=revision,
            cache_dir=cache_dir,
            token=token,
            local_files_only=local_files_only,
            force_download=force_download,
        )
        config_text = files[CONFIG_FILE].read_text(encoding="utf-8", errors="replace")
        try:
            config = GroupDNetConfig.from_json(config_text)
        except ValueError as error:
            raise ValueError(f"{CONFIG_FILE} of {source}: {error}") from None
        with torch.device("meta"):  # no memory before the weights are known to fit
            model = cls(config)
        module = _as_module(model)
        tensors = _read_weights(files[WEIGHTS_FILE], source, module.state_dict(), config)
        if wanted is not None:
            tensors = {k: v.to(wanted) if v.is_floating_point() else v for k, v in tensors.items()}
        module.load_state_dict(tensors, assign=True)
        module.to(device or "cpu")
        module.eval()
        model.card_facts = _read_facts(files.get(FACTS_FILE))
        return model


def _as_module(model: Any) -> nn.Module:
    if not isinstance(model, nn.Module):
        raise TypeError(f"{type(model).__name__} is not a torch module")
    return model


class _Partial:
    """A name beside ``target`` to write to; renamed to it at the end, removed if anything fails."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.partial = target.with_name(f".{target.name}.{os.getpid()}.partial")

    def __enter__(self) -> Path:
        return self.partial

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self.partial.chmod(0o644)  # safetensors writes files that only their owner may read
            os.replace(self.partial, self.target)
        self.partial.unlink(missing_ok=True)


def _digest(config_text: str) -> str:
    return hashlib.sha256(config_text.encode()).hexdigest()


def _checked_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """The precision to load in; None for that of the file."""
    if dtype == "auto":
        return None
    if dtype is None:
        return torch.float32
    found = _DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if found not in _DTYPES.values():
        raise ValueError(
            f"dtype is {dtype!r}; it must be 'auto' or one of {', '.join(_DTYPES)} (name or torch dtype)"
        )
    return found


def _find_files(source: str, **options: Any) -> dict[str, Path]:
    """The files of a model: in a folder, or downloaded."""
    folder = Path(source)
    if folder.is_dir():
        files = {name: folder / name for name in (CONFIG_FILE, WEIGHTS_FILE, FACTS_FILE)}
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            if not files[name].is_file():
                raise FileNotFoundError(f"the folder {source} has no {name}: {_hint(os.listdir(folder))}")
        return {name: path for name, path in files.items() if path.is_file()}
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", source) or source.startswith((".", "~")):
        raise FileNotFoundError(f"there is no folder {source}, and a Hub id has the form user/name")
    files = {}
    for name in (CONFIG_FILE, WEIGHTS_FILE, FACTS_FILE):
        try:
            files[name] = Path(hf_hub_download(source, name, **options))
        except LocalEntryNotFoundError:
            if name == FACTS_FILE:  # not every model has one, and offline that cannot be asked
                continue
            raise
        except EntryNotFoundError as error:
            if name == FACTS_FILE:
                continue
            raise FileNotFoundError(f"the repository {source} has no {name}: {_hint(())}") from error
    return files


def _hint(names: Any) -> str:
    pickles = [name for name in names if name.endswith((".bin", ".pth", ".pt", ".pkl", ".ckpt"))]
    if pickles:
        return (
            f"it holds {pickles[0]}, which is not read because such files can run code; convert the authors' "
            "checkpoints with python -m groupdnet_hub.smis"
        )
    return "was it saved with save_pretrained?"


def _read_weights(
    path: Path, source: str, wanted: Mapping[str, Tensor], config: GroupDNetConfig
) -> dict[str, Tensor]:
    """All tensors of a weights file, their names, shapes and kinds checked before any is read."""
    try:
        with safe_open(path, framework="pt") as file:
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
            problems = [f"{key} is missing" for key in wanted if key not in shapes]
            problems += [f"{key} is not part of the model" for key in shapes if key not in wanted]
            problems += [
                f"{key} has shape {shapes[key]} instead of {tuple(value.shape)}"
                for key, value in wanted.items()
                if key in shapes and shapes[key] != tuple(value.shape)
            ]
            if problems:
                more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
                raise ValueError(
                    f"{path.name} of {source} does not fit its {CONFIG_FILE}: {'; '.join(problems[:3])}{more}"
                )
            digest = (file.metadata() or {}).get("config_sha256")
            if digest is not None and digest != _digest(config.to_json()):
                raise ValueError(
                    f"{CONFIG_FILE} and {path.name} of {source} are not of the same save: save the model again, or "
                    "restore the file that was replaced"
                )
            tensors = {key: file.get_tensor(key) for key in wanted}
    except SafetensorError as error:
        raise ValueError(
            f"{path.name} of {source} is damaged or cut off ({error}): download or copy it again"
        ) from None
    for key, value in tensors.items():
        if value.is_floating_point() != wanted[key].is_floating_point():
            raise ValueError(
                f"{key} in {path.name} of {source} has the type {value.dtype}, which cannot be used"
            )
    return tensors


def _read_facts(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name} is not valid JSON: {error}") from None
    if not isinstance(facts, dict):
        raise ValueError(f"{path.name} must hold a JSON object")
    return facts
