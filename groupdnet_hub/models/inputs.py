"""What every system checks of the tensors that it is given, with a message that says how to fix it."""

from __future__ import annotations

import torch
from torch import Tensor

from groupdnet_hub.data.labels import check_ids, instance_edges


def is_recorded() -> bool:
    """Return whether operations are recorded as a graph just now, by ``torch.export``, ``torch.onnx`` or ``torch.jit``.

    Shapes are known then, values are not: nothing may depend on them but through tensors.
    """
    return torch.compiler.is_exporting() or torch.jit.is_tracing()  # type: ignore[attr-defined]


def checked_label(
    label: Tensor, num_classes: int | None, factor: int, image_size: tuple[int, int], device: torch.device
) -> Tensor:
    """Return a label map as int64 [B, H, W] on ``device``.

    While a graph is recorded (:func:`is_recorded`) ids cannot be checked, and the graph does not check them either.

    Args:
        label: integers [B, H, W].
        num_classes: that ids must lie below; None where they are known to.
        factor: what both sides must be multiples of.
        image_size: (height, width) that the model was made for, for the message.
        device: where it is put.

    Raises:
        ValueError: for another type, shape or size, or an unknown class id.
    """
    if not isinstance(label, Tensor) or label.ndim != 3 or label.is_floating_point():
        given = f"{label.dtype} {tuple(label.shape)}" if isinstance(label, Tensor) else type(label).__name__
        raise ValueError(f"a label map is an integer tensor [B, H, W] of class ids, not {given}")
    if label.shape[1] % factor or label.shape[2] % factor or 0 in label.shape:
        raise ValueError(
            f"the label map is {_size(label)}; both sides must be multiples of {factor} "
            f"(this model was made for {image_size[0]}x{image_size[1]})"
        )
    if num_classes is not None and not is_recorded():
        check_ids(label, num_classes)
    return label.to(device, torch.int64)


def check_image(image: Tensor, label: Tensor) -> None:
    """Refuse a picture that is not [B, 3, H, W] with the label map's B, H and W."""
    if image.ndim != 4 or image.shape[1] != 3 or image.shape[0] != label.shape[0]:
        raise ValueError(
            f"image has shape {tuple(image.shape)}; it must be [B, 3, H, W] with the label map's B, {len(label)}"
        )
    if image.shape[2:] != label.shape[1:]:
        raise ValueError(
            f"the image is {_size(image)} (height x width) and its label map {_size(label)}: resize one of them"
        )


def checked_edges(instance: Tensor | None, label: Tensor, wanted: bool) -> Tensor | None:
    """Return the instance edge map float32 [B, 1, H, W] of an instance map, for a model that wants one.

    Raises:
        ValueError: for a missing or an unused instance map, or one of another size.
    """
    if not wanted:
        if instance is not None:
            raise ValueError("this model was made without instance edges: leave the instance map out")
        return None
    if instance is None:
        raise ValueError(
            "this model draws instance edges: give decode or prepare an instance map, [B, H, W] of ids"
        )
    if instance.shape != label.shape:
        raise ValueError(f"the instance map is {_size(instance)}, its label map {_size(label)}")
    return instance_edges(instance.to(label.device))


def _size(maps: Tensor) -> str:
    return f"{maps.shape[-2]}x{maps.shape[-1]}"
