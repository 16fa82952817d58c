"""What a network of transformers will cost, found out before it is made: its configuration may be a stranger's.

The figures of a ``config.json`` are bounded first, since transformers makes lists of them. Then the network is made and
run without memory, on torch's device ``meta``, and what that would take is counted.
"""

from __future__ import annotations

import math
import os
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules import module as torch_module
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from groupdnet_hub.config.cost import Cost
from groupdnet_hub.config.limits import CostLimits
from groupdnet_hub.config.validation import MAX_CLASSES
from groupdnet_hub.hub.files import CONFIG_FILE, WEIGHTS_FILE
from groupdnet_hub.io.strict_json import read_json, shown
from groupdnet_hub.io.tensors import MAX_HEADER, open_tensors

# No network has more channels, layers, pixels along a side, or words.
_LARGEST = 2**16
_NUMBERS_OF_CLASSES = ("num_labels", "num_classes")
# Parameters that a file need not hold: tables that are computed, and a new classifier.
_SPARE = 2**20
# Of a network's layers and parameters, and of the operations of a pass through it; large ones have some thousands.
_MOST_PARTS, _MOST_OPERATIONS = 10_000, 100_000


def read_network_config(name: str | os.PathLike[str], **options: Any) -> Any:
    """Return the configuration of a model of transformers, after its figures were found to be those of a network.

    Args:
        name: folder or Hub id.
        options: options of transformers' ``from_pretrained``.

    Raises:
        ValueError: for figures that no network has, and what names further files or another repository.
        OSError: if there is none.
    """
    from transformers import AutoConfig
    from transformers.utils.hub import cached_file

    path = cached_file(os.fspath(name), CONFIG_FILE, **options)
    if path is not None:
        found = read_json(path, CONFIG_FILE)
        if not isinstance(found, dict):
            raise ValueError(f"{CONFIG_FILE} holds {shown(found)} in place of an object")
        _check_figures(found)
    return AutoConfig.from_pretrained(name, trust_remote_code=False, **options)


def check_network(
    config: Any, name: str | os.PathLike[str], size: tuple[int, int], limits: CostLimits, **options: Any
) -> None:
    """Refuse a segmentation model that would cost too much; nothing is allocated to find out.

    Args:
        config: of :func:`read_network_config`.
        name: folder or Hub id.
        size: (height, width) of the pictures that it is given, two at a time.
        limits: which it must keep to.
        options: options of transformers' ``from_pretrained``.

    Raises:
        ValueError: with the cost, the limit, and how it is raised; for a configuration that makes no network, and one
            of far more parameters than the weights file holds.
        OSError: if there are no weights.
    """
    from transformers import AutoModelForSemanticSegmentation

    source = os.fspath(name)
    counter = _Parts(limits, source)
    try:
        with torch.random.fork_rng(devices=[]), counter.counting(), torch.device("meta"):
            network = AutoModelForSemanticSegmentation.from_config(config, trust_remote_code=False)
        _check_weights(name, counter.parameters, **options)
        with _Operations(counter.parameters, limits, source), torch.no_grad():
            network.eval()(pixel_values=torch.empty(2, _channels(config), *size, device="meta"))
    except (ValueError, OSError):
        raise
    except Exception as error:  # whatever figures that do not fit each other make transformers raise
        raise ValueError(f"{source} makes no network for pictures of {size[0]}x{size[1]}: {error}") from None


def _channels(config: Any) -> int:
    """Return how many channels a network's pictures have."""
    backbone = getattr(config, "backbone_config", None)
    return int(getattr(config, "num_channels", None) or getattr(backbone, "num_channels", None) or 3)


class _Parts:
    """Counts parameters and buffers while a network is made, and ends it where they are too many."""

    def __init__(self, limits: CostLimits, source: str) -> None:
        self.parameters = self._parts = 0
        self._limits, self._source, self._thread = limits, source, threading.get_ident()

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what modules are given meanwhile, in this thread."""
        with ExitStack() as hooks:
            for register in (
                torch_module.register_module_parameter_registration_hook,
                torch_module.register_module_buffer_registration_hook,
                torch_module.register_module_module_registration_hook,
            ):
                hooks.callback(register(self._count).remove)
            yield

    def _count(self, module: torch.nn.Module, name: str, part: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise ValueError(f"{self._source} asks for more than {_MOST_PARTS} layers")
        if isinstance(part, Tensor):
            self.parameters += part.numel()
            self._limits.check_cost(Cost(self.parameters, 0, 0), self._source)


class _Operations(TorchDispatchMode):
    """Counts what operations take, and ends the pass where it is too much."""

    def __init__(self, parameters: int, limits: CostLimits, source: str) -> None:
        super().__init__()
        self._parameters, self._limits, self._source = parameters, limits, source
        self._operations = self._macs = self._most = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        from torch.utils.flop_counter import flop_registry

        options = options or {}
        result = function(*arguments, **options)
        self._operations += 1
        if self._operations > _MOST_OPERATIONS:
            raise ValueError(f"{self._source} asks for more than {_MOST_OPERATIONS} operations for a picture")
        count = flop_registry.get(function._overloadpacket)
        if count is not None:
            self._macs += count(*arguments, **options, out_val=result) // 2
        held = (one for one in tree_leaves((arguments, options, result)) if isinstance(one, Tensor))
        self._most = max(self._most, sum(one.numel() * one.element_size() for one in held))
        self._limits.check_cost(Cost(self._parameters, self._macs, self._most), self._source)
        return result


def _check_weights(name: str | os.PathLike[str], parameters: int, **options: Any) -> None:
    """Refuse a network that is much larger than its weights file; transformers would fill the rest at random.

    Of weights in several files, whose sum is not known before they are downloaded, the limits are all that is checked.
    """
    from transformers.utils.hub import cached_file

    missing = {
        f"_raise_exceptions_for_{what}": False
        for what in ("gated_repo", "missing_entries", "connection_errors")
    }
    path = cached_file(os.fspath(name), WEIGHTS_FILE, **options, **missing)
    if path is None:
        return
    with open_tensors(path, WEIGHTS_FILE, MAX_HEADER) as file:
        held = sum(math.prod(shape) for shape in file.shapes.values())
    if parameters > 2 * held + _SPARE:
        raise ValueError(
            f"{CONFIG_FILE} asks for {parameters:,} parameters, and {WEIGHTS_FILE} holds {held:,}: they are not of the "
            "same model"
        )


def _check_figures(value: Any, place: str = "") -> None:
    """Refuse what no network has, wherever it stands in a configuration."""
    if isinstance(value, dict):
        _check_sources(value)
        if len(value) > MAX_CLASSES:
            raise ValueError(
                f"{CONFIG_FILE} asks for {len(value)} {shown(place)}; at most {MAX_CLASSES} are read"
            )
        for key, inner in value.items():
            _check_figures(inner, key)
    elif isinstance(value, list):
        for inner in value:
            _check_figures(inner, place)
        whole = sum(abs(one) for one in value if type(one) is int)
        if len(value) > MAX_CLASSES or whole > _LARGEST:
            raise ValueError(
                f"{CONFIG_FILE} asks for {shown(place)}: {shown(value)}; together they are at most {_LARGEST}"
            )
    elif type(value) is int:
        most = MAX_CLASSES if place in _NUMBERS_OF_CLASSES else _LARGEST
        if abs(value) > most:
            raise ValueError(f"{CONFIG_FILE} asks for {shown(place)}: {shown(value)}; it is at most {most}")


def _check_sources(value: dict[str, Any]) -> None:
    """Refuse what would be read from elsewhere, on being asked for by a configuration."""
    if "configuration_files" in value:
        raise ValueError(f"{CONFIG_FILE} names other files, configuration_files: only itself is read")
    backbone = value.get("backbone")
    # timm takes "hf-hub:..." for a repository, transformers what is no name of timm's.
    is_timm = value.get("model_type") == "timm_backbone" or value.get("use_timm_backbone") is True
    is_name = isinstance(backbone, str) and re.fullmatch(r"[\w.-]+", backbone, re.ASCII)
    if backbone is not None and not (is_timm and is_name):
        raise ValueError(
            f"{CONFIG_FILE} names the backbone {shown(backbone)}, which is read from elsewhere: describe it in "
            "backbone_config"
        )
