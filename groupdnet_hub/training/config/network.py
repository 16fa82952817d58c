"""Settings of the system that a run trains: a new one, or one that exists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from groupdnet_hub import PRESETS
from groupdnet_hub.baselines import SYSTEMS
from groupdnet_hub.runs.settings import Settings, at_least, existing_file, option, path_if_there, size_option

# Flags that shape a new network.
_SHAPE = (
    "width",
    "resolution",
    "encoder_width",
    "groups",
    "class_order",
    "hidden_channels",
    "latent_channels",
    "code_placement",
    "code_grid",
    "encoder_colours",
    "code_filling",
    "instance_edges",
)
_SIZE = (256, 256)

# Orders of the classes that have a name of their own.
ORDERS = ("ids", "likeness")


def read_order(flag: str, names: Sequence[str]) -> str | tuple[str, ...]:
    """Return ``--class_order`` as ``ids``, ``likeness``, or class names."""
    return names[0] if len(names) == 1 and names[0] in ORDERS else tuple(names)


def read_starts(starts: Sequence[str]) -> dict[str, str]:
    """Return ``--init_class NEW=OLD ...`` as {new class: the class that it starts from}.

    Raises:
        ValueError: for another form, and for a class that is given twice.
    """
    pairs: dict[str, str] = {}
    for start in starts:
        new, equals, old = start.partition("=")
        new, old = new.strip(), old.strip()
        if not (new and equals and old):
            raise ValueError(f"--init_class takes NEW=OLD, such as bag=top-clothes, not {start!r}")
        if new in pairs:
            raise ValueError(f"--init_class gives {new!r} two starts, {pairs[new]!r} and {old!r}: choose one")
        pairs[new] = old
    return pairs


def read_ties(ties: Sequence[str] | None) -> tuple[tuple[str, ...], ...] | None:
    """Return ``--prior_ties face+skin ...`` as names; None if it is not given."""
    if ties is None:
        return None
    return tuple(tuple(name.strip() for name in tie.split("+")) for tie in ties)


@dataclass(frozen=True, kw_only=True)
class NetworkSettings(Settings):
    """System that is trained, and its prior."""

    model: str | None = option(
        None,
        "system of the paper's Tables 1 to 3, for a new model; by default GroupDNet",
        choices=tuple(SYSTEMS),
        on_resume="network",
    )
    preset: str | None = option(
        None,
        "that system at full width, for the labels of the paper's Table 4",
        choices=tuple(PRESETS),
        on_resume="network",
    )
    config: str | None = option(None, "config.json of a system", check=existing_file, on_resume="network")
    pretrained_model_name_or_path: str | None = option(
        None, "model to start from: a folder or a Hub id", on_resume="network", check=path_if_there
    )
    grow: bool = option(
        False,
        "double that model's height and width, with one more block at the decoder's end",
        on_resume="network",
    )
    init_class: tuple[str, ...] | None = option(
        None,
        "classes that the pretrained model lacks, each with the class of it that they start from; "
        "without one they start fresh",
        metavar="NEW=OLD",
        on_resume="network",
    )
    width: int | None = option(
        None,
        "channels of the decoder's last block, for a new model; another system than GroupDNet gets the width "
        "that goes with it, so that their parameters stand to each other as in Table 1; by default 48",
        on_resume="network",
    )
    encoder_width: int | None = option(
        None, "channels of the encoder's first convolution, for a new model", on_resume="network"
    )
    groups: tuple[int, ...] | None = option(
        None,
        "group count of each block of the decoder, for a new GroupDNet; by default they fall as in Table 4",
        on_resume="network",
    )
    class_order: str | tuple[str, ...] | None = option(
        None,
        "order of the classes inside a new GroupDNet, of which neighbours share groups: ids, that of their ids; "
        "likeness, alike ones side by side; or all class names; by default ids",
        read=read_order,
        metavar="CLASS",
        on_resume="network",
    )
    hidden_channels: int | None = option(
        None,
        "hidden channels for each class in a new GroupDNet's CG-Norms; by default 0.8 x --width for all classes "
        "together, at least 2 for each",
        check=at_least(1),
        on_resume="network",
    )
    latent_channels: int | None = option(
        None, "channels of the code of each class, for a new model", check=at_least(1), on_resume="network"
    )
    code_placement: Literal["frame", "box"] | None = option(
        None,
        "where a new GroupDNet lays the code of a class: over the whole frame, as in the paper and by default, or "
        "in the class's bounding box, so that a print moves with its cloth",
        on_resume="network",
    )
    code_grid: int | None = option(
        None,
        "with --code_placement box: by how much finer the grid that codes are pasted into is than the decoder's "
        "first feature map; by default 4",
        check=at_least(1),
        on_resume="network",
    )
    encoder_colours: bool | None = option(
        None,
        "show the last layers of a new GroupDNet's encoder the mean colours of each class, which its norms take "
        "away otherwise",
        on_resume="network",
    )
    code_filling: Literal["none", "nearest"] | None = option(
        None,
        "what the code of a class holds where its box does not show it: whatever the encoder says, by default, or "
        "the code of the nearest place that shows it, so that it is whole on another label map",
        on_resume="network",
    )
    instance_edges: bool | None = option(
        None,
        "make a new model that draws the edges of instance maps, which every item of the data then needs; by default "
        "only --preset cityscapes does, and other models ignore instance maps",
        on_resume="network",
    )
    resolution: tuple[int, int] | None = size_option(
        None, "SIDE, or HEIGHT WIDTH, of the pictures, for a new model; by default 256", on_resume="network"
    )

    prior_rank: int | None = option(
        None,
        "main directions of a Gaussian prior that is fitted to each class's codes; 0 is the paper's N(0, 1); by "
        "default the model's prior stays what it is",
        check=at_least(0),
        on_resume="network",
    )
    prior_codes: int | None = option(
        None,
        "instead, pictures of each class whose codes are kept, around which new ones are drawn",
        check=at_least(0),
        on_resume="network",
    )
    prior_ties: tuple[str, ...] | None = option(
        None,
        "with --prior_codes, classes whose new codes come from one picture, such as face+skin; by default the "
        "model's own",
        metavar="CLASS+CLASS",
        on_resume="network",
    )

    @property
    def exists(self) -> bool:
        """Whether the model exists already, or its configuration."""
        return bool(self.config or self.pretrained_model_name_or_path)

    @property
    def system(self) -> str:
        """Name of the system of a new model."""
        return self.model or "GroupDNet"

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the pictures of a new model without a preset."""
        return self.resolution or _SIZE

    @property
    def class_starts(self) -> dict[str, str]:
        """New classes, each with the class of the pretrained model that it starts from."""
        return read_starts(self.init_class or ())

    def check(self) -> None:
        """Refuse a model that is named twice, and what does not go with it."""
        super().check()
        given = [
            name for name in ("preset", "config", "pretrained_model_name_or_path") if getattr(self, name)
        ]
        if len(given) > 1:
            raise ValueError(f"give only one of {', '.join('--' + name for name in given)}")
        if self.model and self.exists:
            raise ValueError(
                "--model makes a new model: leave it out with --config and --pretrained_model_name_or_path"
            )
        if self.exists:
            source = "--config" if self.config else "--pretrained_model_name_or_path"
            remedy = (
                "the model keeps its own network; leave out what shapes a new one (--grow doubles its size)"
            )
            self.refuse_given(_SHAPE, f"with {source}", remedy)
        if self.preset:
            self.refuse_given(("width", "resolution", "hidden_channels"), f"with --preset {self.preset}")
        if self.grow and not self.pretrained_model_name_or_path:
            raise ValueError("--grow needs --pretrained_model_name_or_path, the model that grows")
        if self.init_class and not self.pretrained_model_name_or_path:
            raise ValueError(
                "--init_class needs --pretrained_model_name_or_path, the model whose classes it names"
            )
        read_starts(self.init_class or ())
        if self.prior_rank is not None and self.prior_codes is not None:
            raise ValueError("--prior_rank and --prior_codes are two priors: give one of them")
        if self.prior_ties and (self.prior_rank is not None or self.prior_codes == 0):
            raise ValueError(
                "--prior_ties needs --prior_codes: codes of several classes come from one picture where they are kept"
            )
