"""The appearance of a picture: per-class latent codes, to pick, mix, interpolate and save."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from groupdnet_hub.config.groupdnet import GroupDNetConfig
from groupdnet_hub.data.labels import LabelSet, describe_difference
from groupdnet_hub.io.atomic import atomic_write
from groupdnet_hub.io.finite import check_finite
from groupdnet_hub.io.strict_json import parse_json, shown
from groupdnet_hub.io.tensors import TensorFile, open_tensors

_FORMAT = "groupdnet-codes-1"
_MAX_HEADER = 4 * 2**20  # holds the names of thousands of classes
_MAX_VALUES = 2**26  # 256 MiB; the codes of a picture of 2048 x 2048 and 182 classes take a tenth


@dataclass(frozen=True, eq=False)
class AppearanceCodes:
    """Latent codes of one picture.

    Attributes:
        tensor: float32 [C, z, h, w] on the CPU, a code for each class, present in a map or not.
        labels: label set; class arguments are names or ids.

    Raises:
        ValueError: for a tensor of another shape or with values that are not finite.
    """

    tensor: Tensor
    labels: LabelSet

    def __post_init__(self) -> None:
        _check_shape(tuple(self.tensor.shape), self.labels)
        if not torch.isfinite(self.tensor).all():
            raise ValueError("the codes hold values that are not finite")
        object.__setattr__(self, "tensor", self.tensor.detach().to("cpu", torch.float32).contiguous())

    def __repr__(self) -> str:
        return (
            f"AppearanceCodes({len(self.labels)} classes, {'x'.join(map(str, self.tensor.shape[1:]))} each)"
        )

    def pick(self, class_: str | int) -> Tensor:
        """Return the code [z, h, w] of one class."""
        return self.tensor[self.labels.id_of(class_)].clone()

    def mix(self, sources: Mapping[str | int, AppearanceCodes]) -> AppearanceCodes:
        """Return these codes with those of some classes taken from others (appearance mixing).

        Args:
            sources: codes by class, such as ``{"hair": other}``.

        Raises:
            ValueError: for an unknown class, or codes of another label set or shape.
        """
        tensor = self.tensor.clone()
        for class_, source in sources.items():
            self._check_fit(source)
            class_id = self.labels.id_of(class_)
            tensor[class_id] = source.tensor[class_id]
        return AppearanceCodes(tensor, self.labels)

    def interpolate(
        self, other: AppearanceCodes, t: float, classes: Iterable[str | int] | None = None
    ) -> AppearanceCodes:
        """Return ``(1 - t) * self + t * other``, for all or some classes (appearance morphing).

        Args:
            other: codes of the same label set and shape.
            t: position; 0 gives these codes, 1 the others; values outside [0, 1] extrapolate.
            classes: classes that change, all by default.

        Raises:
            ValueError: for an unknown class, or codes of another label set or shape.
        """
        self._check_fit(other)
        blended = self.tensor + t * (other.tensor - self.tensor)
        if t == 1:  # exactly, without rounding
            blended = other.tensor.clone()
        if classes is None:
            return AppearanceCodes(blended, self.labels)
        chosen = self.labels.ids_of(classes)
        tensor = self.tensor.clone()
        tensor[chosen] = blended[chosen]
        return AppearanceCodes(tensor, self.labels)

    def to_bytes(self) -> bytes:
        """Return what :meth:`save` writes."""
        metadata = {
            "format": _FORMAT,
            "labels": json.dumps({"names": self.labels.names, "palette": self.labels.palette}),
        }
        return save({"codes": self.tensor}, metadata=metadata)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file, atomically."""
        with atomic_write(path) as partial:
            # Not save_file, which first writes to a name of its own that a kill would leave behind.
            partial.write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: str | os.PathLike[str], config: GroupDNetConfig | None = None) -> AppearanceCodes:
        """Read codes that :meth:`save` wrote.

        Args:
            path: of the file.
            config: configuration of the model that they are for; those of another one are refused before their values
                are read.

        Raises:
            ValueError: for a file of another kind, a damaged one, and codes of another model.
        """
        path = Path(path)
        with _opened(path) as (file, labels):
            if config is not None:
                difference = codes_difference(labels.names, file.shapes["codes"], config, path.name)
                if difference:
                    raise ValueError(
                        f"{path.name} is of another model: {difference}: use the model that made it"
                    )
            tensor = file.read("codes").clone()
            check_finite("codes", tensor, path.name)
            return cls(tensor, labels)

    def _check_fit(self, other: AppearanceCodes) -> None:
        if other.labels.names != self.labels.names:
            ours, theirs = describe_difference(self.labels.names, other.labels.names)
            raise ValueError(f"the codes are of different label sets: {ours}; and {theirs}")
        if other.tensor.shape != self.tensor.shape:
            raise ValueError(
                f"the codes have different shapes, {tuple(self.tensor.shape)} and {tuple(other.tensor.shape)}: "
                "they come from different models or picture sizes"
            )


def read_codes_header(path: str | os.PathLike[str]) -> tuple[LabelSet, tuple[int, ...]]:
    """Return label set and shape of the codes in a file; their values are not read.

    Raises:
        ValueError: as :meth:`AppearanceCodes.load`.
    """
    with _opened(Path(path)) as (file, labels):
        return labels, file.shapes["codes"]


def codes_difference(
    names: tuple[str, ...], shape: tuple[int, ...], config: GroupDNetConfig, what: str
) -> str:
    """Return how the shape of codes differs from that of a model's, as part of a sentence; nothing if it does not.

    Args:
        names: of the classes of the codes.
        shape: of the codes, [C, z, h, w].
        config: configuration of the model.
        what: the codes in messages, such as "this look".

    Raises:
        ValueError: for other classes than the model's, with both.
    """
    if names != config.class_names:
        its, models = describe_difference(names, config.class_names)
        raise ValueError(
            f"{what} is of another model: it has the {its}; this model has the {models}: use a model with the "
            "classes of the look"
        )
    if shape == config.code_shape:
        return ""
    its, models = ("x".join(map(str, one[1:])) for one in (shape, config.code_shape))
    return f"its codes are {its} for each class, this model's {models}"


@contextmanager
def _opened(path: Path) -> Iterator[tuple[TensorFile, LabelSet]]:
    """Open a codes file and check all that its header says."""
    if not path.is_file():
        raise ValueError(f"there is no codes file {path.name}")
    try:
        with open_tensors(path, path.name, _MAX_HEADER) as file:
            found = file.metadata.get("format")
            if found != _FORMAT:
                raise ValueError(
                    f"{path.name} is not a codes file of this version: its format is {shown(found)}, "
                    f"not {_FORMAT!r}"
                )
            if dict(file.types) != {"codes": "F32"} or math.prod(file.shapes["codes"]) > _MAX_VALUES:
                raise ValueError(
                    f"{path.name} is not a codes file: it must hold one tensor, codes, of at most {_MAX_VALUES} "
                    "float32 values"
                )
            described = parse_json(file.metadata["labels"], f"the label set of {path.name}")
            labels = LabelSet(described["names"], described["palette"])
            _check_shape(file.shapes["codes"], labels)
            yield file, labels
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path.name} is damaged or not a codes file: {error!r}") from None


def _check_shape(shape: tuple[int, ...], labels: LabelSet) -> None:
    if len(shape) != 4 or shape[0] != len(labels):
        raise ValueError(f"codes have shape {shape}; {len(labels)} classes need [{len(labels)}, z, h, w]")
