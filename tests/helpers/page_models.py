"""Small models and label maps for the page: every class's code shows in its own region, and nowhere else.

Trained models are large and change. These are made in a second, by hand: CG-Norm lets each group of channels through
where its class is, so that a redrawn class changes its pixels and next to no others, as the page's tests expect.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from groupdnet_hub import GroupDNet, GroupDNetConfig, LabelSet
from groupdnet_hub.data.figure_drawing import draw_figure
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.labels import label_picture
from groupdnet_hub.models.blocks import CGNorm
from tests.helpers.network_models import generator, make_model

# People in more classes than figures are drawn in.
MORE_LABELS = LabelSet.from_names(
    (
        *("background", "hair", "hat", "face", "glasses", "skin", "top", "outerwear", "dress", "skirt"),
        *("trousers", "legwear", "shoes", "bag", "scarf", "belt"),
    )
)
# (seed, crop): half and full body, skirts, dresses, trousers and shorts, with and without socks.
FIGURES = (
    *((1, "upper"), (5, "full"), (11, "upper"), (7, "full"), (3, "upper"), (9, "full")),
    *((16, "upper"), (53, "full"), (8, "upper"), (20, "full"), (17, "upper"), (47, "full")),
)


def save_examples(
    folder: Path, labels: LabelSet = FIGURE_LABELS, size: tuple[int, int] = (128, 128)
) -> list[Path]:
    """Write label maps of drawn people, ``example_01.png`` and so on, with their ``classes.json``.

    Args:
        folder: made if it is missing.
        labels: ``FIGURE_LABELS`` or ``MORE_LABELS``.
        size: (height, width) of the maps.
    """
    folder.mkdir(parents=True, exist_ok=True)
    labels.to_file(folder / "classes.json")
    paths = []
    for number, (seed, crop) in enumerate(FIGURES, start=1):
        _, label = draw_figure(seed, size, crop=crop)
        paths.append(folder / f"example_{number:02}.png")
        label_picture(label if labels == FIGURE_LABELS else dressed(label, number), labels).save(paths[-1])
    return paths


def dressed(label: np.ndarray, number: int) -> np.ndarray:
    """Return a drawn person's map in ``MORE_LABELS``, each number in other clothes."""
    tops, bottoms = ("top", "outerwear", "dress"), ("trousers", "skirt")
    names = ("background", "hair", "face", "skin", tops[number % 3], bottoms[number % 2], "legwear", "shoes")
    more = np.array([MORE_LABELS.id_of(name) for name in names])[label]
    rows, columns = np.indices(label.shape)
    height, width = label.shape

    def put(name: str, old: str, where: np.ndarray) -> None:
        more[(label == FIGURE_LABELS.id_of(old)) & where] = MORE_LABELS.id_of(name)

    faces, heads, waists = (
        np.flatnonzero((label == FIGURE_LABELS.id_of(name)).any(axis=1))
        for name in ("face", "hair", "bottom-clothes")
    )
    if number % 2:
        put("hat", "hair", rows < heads[0] + max(2, np.ptp(faces) // 2))
    if number % 3 == 0:
        put("glasses", "face", np.abs(rows - faces.mean()) <= max(1, height // 128))
    if number % 4 == 0:
        put("scarf", "top-clothes", rows < faces[-1] + np.ptp(faces))
    if number % 5 == 0:
        put("bag", "background", (np.abs(columns / width - 0.9) < 0.08) & (np.abs(rows / height - 0.6) < 0.1))
    if len(waists):
        put("belt", "bottom-clothes", rows < waists[0] + max(2, height // 64))
    return more


@torch.no_grad()
def page_model(
    labels: LabelSet = FIGURE_LABELS, size: tuple[int, int] = (128, 128), fixed_classes: Sequence[str] = ()
) -> GroupDNet:
    """Make a model in whose pictures each class has the look of its own code, to a few pixels.

    Args:
        labels: its classes.
        size: (height, width) of its pictures.
        fixed_classes: classes whose codes do nothing.
    """
    fields = GroupDNetConfig.for_labels(labels, size, 4)
    slots = fields.class_slots
    config = GroupDNetConfig.for_labels(labels, size, 2 * slots, groups=[slots] * len(fields.blocks))
    model = make_model(config=config)
    for name, value in model.decoder.state_dict().items():
        if name.endswith(("bias", "running_mean")):
            value.zero_()
    weights = model.decoder.fc.weight.unflatten(0, (slots, -1))
    for name in fixed_classes:
        weights[labels.id_of(name)] = 0
    for module in model.modules():
        if isinstance(module, CGNorm):
            _let_through(module)
    # Spectral norm leaves the picture nearly flat: contrast comes from its last layer. Shades more than hues, so that
    # the 256 colours of a GIF do.
    weight = model.decoder.to_rgb.weight
    weight.copy_(0.25 * weight + 0.75 * weight.mean(dim=0, keepdim=True))
    label = torch.arange(len(labels)).repeat_interleave(-(-size[0] // len(labels)))[: size[0], None]
    drawn = model.decode(model.sample_codes(generator=generator(9)), label.expand(size)[None])
    weight.div_(2 * drawn.std())
    return model


def _let_through(norm: CGNorm) -> None:
    """Make ``1 + gamma`` 1 where the class of a channel's group is, and 0 elsewhere; beta is 0."""
    for layer, centre, bias in ((norm.shared, 1.0, 0.0), (norm.gamma, None, -1.0), (norm.beta, 0.0, 0.0)):
        layer.weight.zero_()
        layer.weight[:, :, 1, 1] = 1 / layer.weight.shape[1] if centre is None else centre
        layer.bias.fill_(bias)
