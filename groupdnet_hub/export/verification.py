"""Whether an exported graph computes what PyTorch does."""

from __future__ import annotations

import torch

from groupdnet_hub.export.formats import Run
from groupdnet_hub.export.graphs import Graph, example_inputs
from groupdnet_hub.models.groupdnet import GroupDNet

# Largest difference, in units of the largest value where that is above 1.
TOLERANCE = 1e-4
# None of them is the one that graphs are recorded with.
BATCH_SIZES = (1, 3, 8)


class DiffersError(ValueError):
    """Raised for an exported graph whose outputs are not PyTorch's."""


@torch.inference_mode()
def verified_difference(model: GroupDNet, graph: Graph, run: Run) -> float:
    """Compare an exported graph with the model on several batches of random inputs.

    Args:
        model: the model.
        graph: one of its graphs.
        run: runs the exported graph.

    Returns:
        The largest difference found.

    Raises:
        DiffersError: if it is above ``TOLERANCE``, or a shape is another one.
    """
    differences = []
    for seed, batch in enumerate(BATCH_SIZES):
        inputs = example_inputs(model, graph, batch, seed)
        for port, found, expected in zip(graph.outputs, run(inputs), graph.expected(*inputs), strict=True):
            if found.shape != expected.shape:
                raise DiffersError(
                    f"{port.name} of the exported {graph.name} has shape {tuple(found.shape)}, not "
                    f"{tuple(expected.shape)}, for a batch of {batch}"
                )
            scale = expected.abs().max().clamp(min=1)
            differences.append((found - expected).abs().max() / scale)
    largest = float(torch.stack(differences).max())
    if not largest <= TOLERANCE:  # nor for NaN
        raise DiffersError(
            f"the exported {graph.name} differs from PyTorch by {largest:.1e} (at most {TOLERANCE:.0e} is allowed)"
        )
    return largest
