"""Strict and atomic saving and loading, locally and on the Hugging Face Hub, in safetensors only."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from huggingface_hub import HfApi, ModelHubMixin, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, RevisionNotFoundError
from safetensors.torch import save_file
from torch import nn

from groupdnet_hub.config.groupdnet import GroupDNetConfig
from groupdnet_hub.config.limits import CostLimits
from groupdnet_hub.config.serialization import JSONConfig
from groupdnet_hub.hub.card_text import card_to_save
from groupdnet_hub.hub.discriminator_file import DISCRIMINATOR_FILE, DiscriminatorWeights, write_discriminator
from groupdnet_hub.hub.files import (
    CARD_FILE,
    CONFIG_FILE,
    FACTS_FILE,
    WEIGHTS_FILE,
    find_files,
    read_card,
    weights_file,
)
from groupdnet_hub.hub.model_card import model_card
from groupdnet_hub.hub.options import LOAD_OPTIONS, PUSH_OPTIONS, HubOptions, known_options, target_of
from groupdnet_hub.hub.weights import check_tensor_count, config_digest, read_facts, read_weights
from groupdnet_hub.io.atomic import atomic_writes
from groupdnet_hub.io.strict_json import read_short_text

if TYPE_CHECKING:
    from typing_extensions import Unpack  # of typing only from Python 3.11 on

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
        card_text: card that the model was loaded with; what people wrote on it is kept when the model is saved. Set it
            to None for a model that is another one from then on.
        discriminator_to_save: discriminator that the model was trained with; if set, it is saved and uploaded too.
    """

    config_class: ClassVar[type[JSONConfig]] = GroupDNetConfig
    config: Any
    card_facts: dict[str, Any]
    card_text: str | None = None
    discriminator_to_save: DiscriminatorWeights | None = None

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        *,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        variant: str | None = None,
        model_card_kwargs: Mapping[str, Any] | None = None,
        **push_to_hub_kwargs: Any,
    ) -> str | None:
        """Write ``config.json``, ``model.safetensors``, ``training.json``, a model card, and any discriminator.

        All files appear together or not at all: a failure, or a kill at any moment, leaves the old model or the new
        one. Loading detects weights and a configuration of different saves. Weights keep their precision.

        The card is generated, and what people write on one is kept: text outside our part of a ``README.md`` that is
        there, or else of the one that the model was loaded with; and all of one without our marks, or edited inside.

        Args:
            save_directory: folder, created if it is missing.
            repo_id: name on the Hub, for the card's usage and for ``push_to_hub``.
            push_to_hub: whether to upload too.
            variant: word in the name of the weights file, such as ``"fp16"`` for ``model.fp16.safetensors``; other
                weights that are there stay.
            model_card_kwargs: ``repo_id``, as :meth:`push_to_hub` passes it.
            push_to_hub_kwargs: options of :meth:`push_to_hub`.

        Raises:
            TypeError: for an unknown option.
            ValueError: for ``card_facts`` that are not plain JSON values, and a variant that is not a word.
            CannotWriteError: for a full disk, a read-only folder and the like.
        """
        weights = weights_file(variant)
        push_options = known_options(push_to_hub_kwargs, PUSH_OPTIONS)
        folder = Path(save_directory)
        name = repo_id or (model_card_kwargs or {}).get("repo_id") or folder.resolve().name
        config_text = self.config.to_json()
        module = _as_module(self)
        tensors = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
        metadata = {"format": "pt", "config_sha256": config_digest(config_text)}
        texts = {FACTS_FILE: _facts_text(self.card_facts), CONFIG_FILE: config_text}
        with atomic_writes(folder) as apart:
            parameters = sum(p.numel() for p in module.parameters())
            fresh = model_card(self.config, parameters, self.card_facts, name)
            written = _card_there(folder)
            if written is not None:
                card = card_to_save(fresh, written, self.card_text)
                (apart / CARD_FILE).write_bytes(card.encode("utf-8", "surrogateescape"))
            for file_name, text in texts.items():
                (apart / file_name).write_text(text, encoding="utf-8")
            save_file(tensors, apart / weights, metadata=metadata)
            if self.discriminator_to_save is not None:
                dtype = next(value.dtype for value in tensors.values() if value.is_floating_point())
                write_discriminator(apart / DISCRIMINATOR_FILE, self.discriminator_to_save, dtype)
            # safetensors lets only the owner read; the other files follow the user's umask
            for path in apart.glob("*.safetensors"):
                path.chmod((apart / CONFIG_FILE).stat().st_mode)
        if push_to_hub:
            return self.push_to_hub(repo_id or folder.resolve().name, variant=variant, **push_options)
        return None

    def push_to_hub(self, repo_id: str, *, variant: str | None = None, **options: Any) -> str:
        """Upload weights, configuration, training facts and a model card in one commit.

        What people wrote on the repository's card is kept, as :meth:`save_pretrained` keeps it.

        Args:
            repo_id: ``user/name``, or ``name`` for the user of the token; created if it is missing.
            variant: as of :meth:`save_pretrained`.
            options: options of ``huggingface_hub.ModelHubMixin.push_to_hub``: private, token, commit_message, branch,
                create_pr, allow_patterns, ignore_patterns, delete_patterns.

        Returns:
            URL of the commit.

        Raises:
            TypeError: for an unknown option.
        """
        options = known_options(options, PUSH_OPTIONS)
        api = HfApi(token=options.pop("token", None))
        private, branch = options.pop("private", None), options.pop("branch", None)
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        with tempfile.TemporaryDirectory() as scratch:
            folder, cache = Path(scratch) / "model", Path(scratch) / "cache"
            folder.mkdir()
            try:
                card = hf_hub_download(repo_id, CARD_FILE, revision=branch, token=api.token, cache_dir=cache)
                (folder / CARD_FILE).write_bytes(Path(card).read_bytes())
            except (EntryNotFoundError, RevisionNotFoundError):
                pass
            self.save_pretrained(folder, repo_id=repo_id, variant=variant)
            return api.upload_folder(
                repo_id=repo_id,
                folder_path=folder,
                commit_message=options.pop("commit_message", None) or "Push model using groupdnet_hub.",
                revision=branch,
                **options,
            )

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls: type[ModelT],
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        dtype: torch.dtype | str | None = None,
        device: str | int | torch.device | None = None,
        torch_dtype: torch.dtype | str | None = None,
        device_map: Any = None,
        variant: str | None = None,
        limits: CostLimits | None = None,
        **options: Unpack[HubOptions],
    ) -> ModelT:
        """Load a model of :meth:`save_pretrained` from a folder or the Hub, in evaluation mode.

        Args:
            pretrained_model_name_or_path: existing folder, or (as a string only) a Hub id ``user/name``.
            dtype: precision of the weights: float32 by default, ``"auto"`` for that of the file, or another one.
            device: device of the model; the CPU by default.
            torch_dtype: what diffusers calls ``dtype``.
            device_map: what transformers and diffusers call ``device``: a device, ``{"": device}``, or ``"auto"`` for
                the accelerator that is there, or else the CPU. A model is never spread over several devices.
            variant: which weights: ``"fp16"`` for those of ``model.fp16.safetensors``.
            limits: how much its pictures may cost, which a small file may set high; by default those of
                :meth:`CostLimits.from_environment`.
            options: subfolder, and revision, cache_dir, token, local_files_only and force_download of
                ``hf_hub_download``. What always holds may be asked for too, such as ``use_safetensors=True``.

        Raises:
            FileNotFoundError: for a folder that is missing or lacks a file, a file that the repository lacks, and
                (``LocalEntryNotFoundError``) a model that is neither cached nor reachable.
            huggingface_hub.errors.RepositoryNotFoundError, RevisionNotFoundError, GatedRepoError: of the Hub.
            TypeError: for an unknown option, with the name of ours that is near.
            ValueError: for a damaged file or one of another kind, a link out of the folder, tensors that are missing,
                left over, of a wrong shape or type or not finite, a configuration of a newer version, an invalid one
                or one that asks for more than ``limits``, and an unknown dtype or device.
        """
        hub_options: Any = known_options(options, LOAD_OPTIONS)
        target = target_of(dtype, torch_dtype, device, device_map)
        source = str(pretrained_model_name_or_path)
        files = find_files(pretrained_model_name_or_path, variant=variant, **hub_options)
        try:
            config_text = read_short_text(files[CONFIG_FILE], CONFIG_FILE)
            config = cls.config_class.from_json(config_text)
        except ValueError as error:
            raise ValueError(f"{CONFIG_FILE} of {source}: {error}") from None
        (limits or CostLimits.from_environment()).check(config, source)
        check_tensor_count(files[WEIGHTS_FILE], source, config.separate_convolutions)
        facts = read_facts(files.get(FACTS_FILE), source)
        with torch.device("meta"):  # no memory before the weights are known to fit
            model = cls(config)
        module = _as_module(model)
        digest = config_digest(config_text)
        tensors = read_weights(files[WEIGHTS_FILE], source, module.state_dict(), digest, target.dtype)
        module.load_state_dict(tensors, assign=True)
        module.to(target.device)
        module.eval()
        model.card_facts = facts
        model.card_text = read_card(files[CARD_FILE]) if CARD_FILE in files else None
        return model


def _card_there(folder: Path) -> str | None:
    """Return the text of a folder's card, empty where there is none; None for a long one or a link, which stay."""
    path = folder / CARD_FILE
    if path.is_symlink():
        return None
    return read_card(path) if path.exists() else ""


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
