"""Strict and atomic saving and loading, locally and on the Hugging Face Hub, in safetensors only."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from huggingface_hub import HfApi, ModelHubMixin
from safetensors.torch import save_file
from torch import nn

from groupdnet_hub.config.groupdnet import GroupDNetConfig
from groupdnet_hub.config.serialization import JSONConfig
from groupdnet_hub.hub.discriminator_file import DISCRIMINATOR_FILE, DiscriminatorWeights, write_discriminator
from groupdnet_hub.hub.files import (
    CARD_FILE,
    CONFIG_FILE,
    FACTS_FILE,
    WEIGHTS_FILE,
    HubOptions,
    check_tensor_count,
    config_digest,
    find_files,
    read_facts,
    read_weights,
)
from groupdnet_hub.hub.model_card import CARD_MARK, model_card
from groupdnet_hub.io.atomic import atomic_writes
from groupdnet_hub.io.strict_json import read_short_text

if TYPE_CHECKING:
    from typing_extensions import Unpack  # of typing only from Python 3.11 on

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

ModelT = TypeVar("ModelT", bound="StrictHubMixin")


class StrictHubMixin(ModelHubMixin):
    """``save_pretrained``, ``from_pretrained`` and ``push_to_hub`` for a module that is built from a configuration.

    Attributes:
        config_class: class of the configuration.
        card_facts: facts about the training for the model card, plain JSON values that are saved and loaded with the
            model. Keys that the card knows: data, training_pictures, random_shift, random_scale, random_turn,
            simplified_maps, balanced_sampling, recoloured_classes, steps, batch_size, perceptual_net, perceptual_crop,
            loss_weights, redraw_memory, kl_free_nats, discriminator, labelmix_weight, discriminator_crop, r1_weight,
            diffaugment_target, class_balance, precision, license, license_note, metrics (name: value), notes (list of
            sentences), evaluation (``values`` by metric, for the card's model-index).
        discriminator_to_save: discriminator that the model was trained with; if set, it is saved and uploaded too.
    """

    config_class: ClassVar[type[JSONConfig]] = GroupDNetConfig
    config: Any
    card_facts: dict[str, Any]
    discriminator_to_save: DiscriminatorWeights | None = None

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
        """Write ``config.json``, ``model.safetensors``, ``training.json``, a model card, and any discriminator.

        All files appear together or not at all: a failure, or a kill at any moment, leaves the old model or the new
        one. Loading detects weights and a configuration of different saves. Weights keep their precision. A
        ``README.md`` that was edited by hand (its first comment removed) is left unchanged.

        Args:
            save_directory: folder, created if it is missing.
            repo_id: name on the Hub, for the card's usage and for ``push_to_hub``.
            push_to_hub: whether to upload too.
            config: unused; the mixin passes it.
            model_card_kwargs: ``repo_id``, as :meth:`push_to_hub` passes it.
            push_to_hub_kwargs: options of :meth:`push_to_hub`.

        Raises:
            ValueError: for ``card_facts`` that are not plain JSON values.
            CannotWriteError: for a full disk, a read-only folder and the like.
        """
        folder = Path(save_directory)
        name = repo_id or (model_card_kwargs or {}).get("repo_id") or folder.resolve().name
        config_text = self.config.to_json()
        module = _as_module(self)
        tensors = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
        metadata = {"format": "pt", "config_sha256": config_digest(config_text)}
        texts = {FACTS_FILE: _facts_text(self.card_facts)}
        with atomic_writes(folder) as apart:
            if _may_write_card(folder / CARD_FILE):
                parameters = sum(p.numel() for p in module.parameters())
                texts[CARD_FILE] = model_card(self.config, parameters, self.card_facts, name)
            texts[CONFIG_FILE] = config_text
            for file_name, text in texts.items():
                (apart / file_name).write_text(text, encoding="utf-8")
            save_file(tensors, apart / WEIGHTS_FILE, metadata=metadata)
            if self.discriminator_to_save is not None:
                dtype = next(value.dtype for value in tensors.values() if value.is_floating_point())
                write_discriminator(apart / DISCRIMINATOR_FILE, self.discriminator_to_save, dtype)
            # safetensors lets only the owner read; the other files follow the user's umask
            for path in apart.glob("*.safetensors"):
                path.chmod((apart / CONFIG_FILE).stat().st_mode)
        if push_to_hub:
            return self.push_to_hub(repo_id or folder.resolve().name, **push_to_hub_kwargs)
        return None

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload weights, configuration, training facts and a new model card in one commit.

        The card of the repository is replaced, even one that was edited there (it stays in the history);
        ``ignore_patterns="README.md"`` keeps it.

        Args:
            repo_id: ``user/name``, or ``name`` for the user of the token; created if it is missing.
            options: options of ``huggingface_hub.ModelHubMixin.push_to_hub``: private, token, commit_message, branch,
                create_pr, allow_patterns, ignore_patterns, delete_patterns.

        Returns:
            URL of the commit.
        """
        if "/" not in repo_id:  # the card's usage needs the full name
            api = HfApi(token=options.get("token"))
            repo_id = api.create_repo(repo_id, private=options.get("private"), exist_ok=True).repo_id
        card = {**(options.pop("model_card_kwargs", None) or {}), "repo_id": repo_id}
        return super().push_to_hub(repo_id, model_card_kwargs=card, **options)

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls: type[ModelT],
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        dtype: torch.dtype | str | None = None,
        device: str | torch.device | None = None,
        **options: Unpack[HubOptions],
    ) -> ModelT:
        """Load a model of :meth:`save_pretrained` from a folder or the Hub, in evaluation mode.

        Args:
            pretrained_model_name_or_path: existing folder, or (as a string only) a Hub id ``user/name``.
            dtype: precision of the weights: float32 by default, ``"auto"`` for that of the file, or another one.
            device: device of the model; the CPU by default.
            options: revision, cache_dir, token, local_files_only and force_download of ``hf_hub_download``.

        Raises:
            FileNotFoundError: for a folder that is missing or lacks a file, a file that the repository lacks, and
                (``LocalEntryNotFoundError``) a model that is neither cached nor reachable.
            huggingface_hub.errors.RepositoryNotFoundError, RevisionNotFoundError, GatedRepoError: of the Hub.
            ValueError: for a damaged file or one of another kind, a link out of the folder, tensors that are missing,
                left over or of a wrong shape or type, a configuration of a newer version or an invalid one, and an
                unknown dtype.
        """
        wanted = _checked_dtype(dtype)
        target = torch.device("cpu" if device is None else device)
        source = str(pretrained_model_name_or_path)
        files = find_files(pretrained_model_name_or_path, **options)
        try:
            config_text = read_short_text(files[CONFIG_FILE], CONFIG_FILE)
            config = cls.config_class.from_json(config_text)
        except ValueError as error:
            raise ValueError(f"{CONFIG_FILE} of {source}: {error}") from None
        check_tensor_count(files[WEIGHTS_FILE], source, config.separate_convolutions)
        facts = read_facts(files.get(FACTS_FILE), source)
        with torch.device("meta"):  # no memory before the weights are known to fit
            model = cls(config)
        module = _as_module(model)
        digest = config_digest(config_text)
        tensors = read_weights(files[WEIGHTS_FILE], source, module.state_dict(), digest, wanted)
        module.load_state_dict(tensors, assign=True)
        module.to(target)
        module.eval()
        model.card_facts = facts
        return model


def _as_module(model: Any) -> nn.Module:
    if not isinstance(model, nn.Module):
        raise TypeError(f"{type(model).__name__} is not a torch module")
    return model


def _facts_text(facts: Mapping[str, Any]) -> str:
    try:
        return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"card_facts cannot be saved ({error}): give plain numbers, strings, lists and dictionaries, for example "
            "float(loss) instead of a tensor"
        ) from None


def _may_write_card(path: Path) -> bool:
    """Return whether there is no card yet, or one that nobody has edited."""
    return not path.exists() or CARD_MARK in path.read_text(encoding="utf-8", errors="replace")


def _checked_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """Return the precision to load in; None for that of the file."""
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
