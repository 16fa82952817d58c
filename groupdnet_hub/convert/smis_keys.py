"""Key names of the authors' checkpoints (SMIS, 2020-06) and ours."""

from __future__ import annotations

import re

BLOCK_NAMES = ("head_0", "G_middle_0", "G_middle_1", "up_0", "up_1", "up_2", "up_3")

# Inside a CG-Block; what is not named here keeps its name.
_BLOCK_PARTS = (
    (".param_free_norm.", ".norm."),
    (".mlp_shared.0.", ".shared."),
    (".mlp_gamma.", ".gamma."),
    (".mlp_beta.", ".beta."),
)


def generator_key(key: str) -> str | None:
    """Return a key of the original generator as a key of ``GroupDecoder``; None where there is no such part.

    ``up_4`` of the ADE20K generator is in its checkpoint but never called: it has no counterpart.
    """
    head, _, rest = key.partition(".")
    if head in ("fc", "conv_img"):
        return ("to_rgb." if head == "conv_img" else "fc.") + rest
    if head not in BLOCK_NAMES:
        return None
    path = "." + rest
    for theirs, ours in _BLOCK_PARTS:
        path = path.replace(theirs, ours)
    return f"blocks.{BLOCK_NAMES.index(head)}" + _weight_name(path)


def is_dead_generator_key(key: str) -> bool:
    """Return whether the key belongs to ``up_4``, which the original ADE20K generator holds and never calls."""
    return key.startswith("up_4.")


def encoder_key(key: str) -> str | None:
    """Return a key of the original encoder as a key of ``GroupEncoder``; None where there is no such part."""
    layer = re.fullmatch(r"layer(\d)\.0\.(.+)", key)
    if layer:
        return _weight_name(f"layers.{int(layer[1]) - 1}.{layer[2]}")
    for theirs, ours in (("fc_mu.", "mean."), ("fc_var.", "logvar.")):
        if key.startswith(theirs):
            return ours + key.removeprefix(theirs)
    return None


def _weight_name(key: str) -> str:
    return key.removesuffix("_orig") if key.endswith(".weight_orig") else key
