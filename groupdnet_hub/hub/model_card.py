"""The model card: what a model draws, how to use it, and how it was trained."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Protocol

from huggingface_hub import EvalResult
from huggingface_hub.repocard_data import eval_results_to_model_index

from groupdnet_hub.config.groupdnet import GroupDNetConfig
from groupdnet_hub.config.presets import dont_care_class
from groupdnet_hub.config.validation import Ignored

# A card with this comment was written by the program, and may be overwritten.
CARD_MARK = "<!-- Written by groupdnet_hub. Remove this line to keep your own edits. -->"

_TRAINING_ROWS = (
    ("data", "Data"),
    ("training_pictures", "Training pictures"),
    ("random_shift", "Pictures shifted at random by up to this fraction of their sides"),
    ("random_scale", "Pictures scaled at random by up to this fraction"),
    ("random_turn", "Pictures turned at random by up to this many degrees"),
    ("simplified_maps", "Fraction of the pictures whose label maps were simplified"),
    ("balanced_sampling", "Power by which pictures of rare classes were drawn more often"),
    ("recoloured_classes", "Classes whose hues were turned at random"),
    ("steps", "Steps"),
    ("batch_size", "Batch size"),
    ("perceptual_net", "Perceptual net"),
    ("perceptual_crop", "Side of the windows it sees"),
    ("loss_weights", "Loss weights"),
    ("redraw_memory", "Codes of each class that the redraw loss took others from"),
    ("kl_free_nats", "KL free of charge, nats a class"),
    ("discriminator", "Discriminator"),
    ("labelmix_weight", "Weight of LabelMix"),
    ("discriminator_crop", "Side of the windows that the discriminator sees as well"),
    ("r1_weight", "Weight of R1, the penalty on the discriminator's gradient"),
    ("diffaugment_target", "Goal of the adaptive augmentation of what the discriminator sees"),
    ("class_balance", "Class balance of the discriminator's losses"),
    ("precision", "Autocast precision"),
)


class CardConfig(Protocol):
    """The part of a system's configuration that a card needs."""

    @property
    def system_name(self) -> str: ...

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]: ...

    @property
    def ignore(self) -> tuple[Ignored, ...]: ...

    @property
    def image_size(self) -> tuple[int, int]: ...

    @property
    def num_classes(self) -> int: ...

    @property
    def code_shape(self) -> tuple[int, ...]: ...

    @property
    def instance_edges(self) -> bool: ...


def model_card(config: CardConfig, num_parameters: int, facts: Mapping[str, Any], name: str) -> str:
    """Return the text of a ``README.md`` for the Hub.

    Args:
        config: configuration of the system.
        num_parameters: number of parameters of encoder and decoder together.
        facts: see ``StrictHubMixin.card_facts``; the card leaves out what is missing.
        name: folder or Hub id in the usage example.

    Raises:
        ValueError: for metrics that are not a mapping.
    """
    height, width = config.image_size
    sections = [
        _front_matter(facts, name),
        CARD_MARK,
        f"# {_line(name.rsplit('/', 1)[-1])}",
        f"{_introduction(config)}\n\n"
        f"Pictures of {height} x {width} pixels (height x width), {config.num_classes} classes, "
        f"{num_parameters / 1e6:.1f} million parameters (generator and encoder)."
        + _placement(config)
        + _prior(config),
        _usage(config, name),
        _classes(config),
        _training(facts),
        _metrics(facts),
        _limitations(config),
        _notes(facts),
        "## Citation\n\n"
        "```bibtex\n@inproceedings{zhu2020semantically,\n"
        "  title={Semantically Multi-modal Image Synthesis},\n"
        "  author={Zhu, Zhen and Xu, Zhiliang and You, Ansheng and Bai, Xiang},\n"
        "  booktitle={CVPR},\n  year={2020}\n}\n```",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _front_matter(facts: Mapping[str, Any], name: str) -> str:
    lines = ["library_name: groupdnet_hub", "pipeline_tag: image-to-image"]
    if facts.get("license"):
        license_name = str(facts["license"])
        plain = re.fullmatch(r"[A-Za-z][\w.+-]*", license_name)
        # JSON strings are YAML strings
        lines.append(f"license: {license_name if plain else json.dumps(license_name, ensure_ascii=False)}")
    lines += ["tags:", "- groupdnet", "- semantic-image-synthesis", "- label-map", "- multi-modal"]
    return "---\n" + "\n".join(lines) + "\n" + _model_index(facts, name) + "---"


def _model_index(facts: Mapping[str, Any], name: str) -> str:
    """Return what training measured, in the YAML that the Hub shows beside a card; empty where it measured nothing."""
    evaluation = facts.get("evaluation")
    values = evaluation.get("values") if isinstance(evaluation, Mapping) else None
    if not isinstance(values, Mapping):
        return ""
    data = _line(str(facts.get("data") or "unknown"))
    results = [
        EvalResult(
            task_type="image-to-image",
            dataset_type=data,
            dataset_name=data,
            dataset_split="validation",
            metric_type=str(metric),
            metric_value=value,
        )
        for metric, value in values.items()
        if type(value) in (int, float) and math.isfinite(value)
    ]
    if not results:
        return ""
    index = eval_results_to_model_index(name.rsplit("/", 1)[-1], results)
    return f"model-index: {json.dumps(index)}\n"  # JSON is YAML


def _introduction(config: CardConfig) -> str:
    paper = "*Semantically Multi-modal Image Synthesis*, CVPR 2020"
    if config.system_name == "GroupDNet":
        named = f"A GroupDNet ({paper})"
    else:
        named = f"A {config.system_name}, one of the systems that GroupDNet ({paper}) is compared with"
    if isinstance(config, GroupDNetConfig):
        codes = "one latent code for each class, so that one class can be redrawn while the rest stays"
    elif math.prod(config.code_shape):
        codes = "one latent code for the entire picture"
    else:
        codes = "no latent code: one picture for each map"
    return f"{named}: it turns a label map into a picture, with {codes}."


def _placement(config: CardConfig) -> str:
    if not isinstance(config, GroupDNetConfig) or config.code_placement == "frame":
        return ""
    return (
        "\n\nThe code of a class covers the class's bounding box in the label map, not the entire frame as in the "
        "paper, so that a pattern moves with what it is on: `code_placement` in `config.json`."
    )


def _prior(config: CardConfig) -> str:
    if not isinstance(config, GroupDNetConfig):
        return ""
    if config.prior_rank:
        return (
            "\n\nNew codes are drawn, for each class, from a Gaussian fitted to the codes of the training "
            f"pictures ({config.prior_rank} principal directions), not from N(0, 1) as in the paper: `prior_rank` in "
            "`config.json`."
        )
    if config.prior_codes:
        return (
            "\n\nNew codes are drawn, for each class, around those of a training picture that is chosen among up to "
            f"{config.prior_codes}, not from N(0, 1) as in the paper: `prior_codes` in `config.json`. The model stores "
            "the codes of those pictures, not their pixels."
            + "".join(
                f" Those of {_line(' and '.join(tie))} come from one picture." for tie in config.prior_ties
            )
        )
    return ""


def _usage(config: CardConfig, name: str) -> str:
    if not isinstance(config, GroupDNetConfig):
        return _usage_of_baseline(config, name)
    # a JSON string is a Python string, whatever characters a name holds
    chosen = json.dumps(config.class_names[min(4, config.num_classes - 1)], ensure_ascii=False)
    source = json.dumps(name, ensure_ascii=False)
    instance = ', instance="instances.png"' if config.instance_edges else ""
    return (
        "## Use\n\n```python\nfrom groupdnet_hub import GroupDNetPipeline\n\n"
        f"pipe = GroupDNetPipeline.from_pretrained({source})\n"
        f'look = pipe.sample("mask.png", seed=0{instance})  # every class drawn\n'
        f"look = pipe.reroll(look, {chosen}, seed=1)  # one class redrawn\n"
        'look.image.save("picture.png")\n```'
    )


def _usage_of_baseline(config: CardConfig, name: str) -> str:
    height, width = config.image_size
    source = json.dumps(name, ensure_ascii=False)
    size = f"size=({height}, {width})"
    lines = [f"system = load_system({source})"]
    lines += [f'label = torch.from_numpy(read_label_map("mask.png", system.labels, {size}))[None]']
    names, given = ["load_system", "read_label_map", "tensor_to_picture"], ""
    if config.instance_edges:
        lines += [f'instance = torch.from_numpy(read_instance_map("instances.png", {size}))[None]']
        names, given = (
            ["load_system", "read_instance_map", "read_label_map", "tensor_to_picture"],
            ", instance",
        )
    lines += [
        "with torch.no_grad():",
        f"    picture = system.decode(system.sample_codes(1), label{given})",
        'tensor_to_picture(picture[0]).save("picture.png")',
    ]
    head = f"import torch\nfrom groupdnet_hub import {', '.join(names)}\n\n"
    return f"## Use\n\n```python\n{head}" + "\n".join(lines) + "\n```"


def _classes(config: CardConfig) -> str:
    rows = [
        f"| {i} | {_cell(name)} | {colour[0]}, {colour[1]}, {colour[2]} |"
        for i, (name, colour) in enumerate(zip(config.class_names, config.palette, strict=True))
    ]
    header = "## Classes\n\nA label map holds the id, or the colour.\n\n| id | class | colour (RGB) |\n|---|---|---|\n"
    return header + "\n".join(rows + _unknown(config))


def _unknown(config: CardConfig) -> list[str]:
    """Return a row for each id and colour of unknown pixels."""
    names, dont_care = config.class_names, dont_care_class(config.class_names, config.ignore)
    drawn = "the nearest class" if dont_care is None else _cell(names[dont_care])
    rows = []
    for value in config.ignore:
        id_, colour, name = "", "", drawn
        if not isinstance(value, int):
            colour = ", ".join(map(str, value))
        else:
            id_ = str(value)
            name = _cell(names[value]) if value < len(names) else drawn
        rows.append(" ".join(f"| {id_} | unknown, drawn as {name} | {colour} |".split()))
    return rows


def _training(facts: Mapping[str, Any]) -> str:
    rows = [
        f"| {title} | {_shown(facts[key])} |" for key, title in _TRAINING_ROWS if facts.get(key) is not None
    ]
    if facts.get("license_note"):
        rows.append(f"| Licence | {_shown(facts['license_note'])} |")
    return "## Training\n\n| | |\n|---|---|\n" + "\n".join(rows) if rows else ""


def _metrics(facts: Mapping[str, Any]) -> str:
    metrics = facts.get("metrics") or {}
    if not isinstance(metrics, Mapping):
        raise ValueError(
            f"card_facts['metrics'] is {metrics!r}; it must be a dictionary of names and values, such as "
            "{'LPIPS': 0.2}"
        )
    rows = [f"| {_cell(name)} | {_shown(value)} |" for name, value in metrics.items()]
    return "## Metrics\n\n| | |\n|---|---|\n" + "\n".join(rows) if rows else ""


def _notes(facts: Mapping[str, Any]) -> str:
    notes = facts.get("notes") or []
    if isinstance(notes, str):
        notes = [notes]
    return "## Notes\n\n" + "\n".join(f"- {_line(str(note))}" for note in notes) if notes else ""


def _limitations(config: CardConfig) -> str:
    height, width = config.image_size
    return (
        "## Limitations\n\n"
        "- It knows only the classes above. A class that is rare in the training pictures may be drawn poorly.\n"
        f"- It was trained for {height} x {width} pixels; label maps of another size, or unlike those of the training "
        "pictures, may give poorer ones.\n"
        f"{_limits_of_codes(config)}"
        "- It reproduces the bias of its training pictures. Say that its pictures are synthetic where they could "
        "be mistaken for photos."
    )


def _limits_of_codes(config: CardConfig) -> str:
    if not isinstance(config, GroupDNetConfig):
        return "- No class can be redrawn on its own: a baseline for comparison, not for use.\n"
    return (
        "- Codes are drawn for each class independently: a random draw may combine what would not be seen "
        "together.\n"
    )


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{_cell(key)} {_shown(entry)}" for key, entry in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return _cell(value if isinstance(value, str) else json.dumps(value))


def _cell(text: str) -> str:
    return _line(str(text)).replace("|", "\\|")


def _line(text: str) -> str:
    return " ".join(text.split())
