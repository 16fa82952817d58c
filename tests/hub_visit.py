"""What a user does with the Hub, in a process of its own: the Hub's address is read when its library is imported.

Prints one JSON object: what came out of each visit.
"""

from __future__ import annotations

import json
import sys

import torch

from groupdnet_hub import GroupDNet


def outcome(**arguments: object) -> str:
    """``ok``, or the kind and text of the error."""
    try:
        GroupDNet.from_pretrained(**arguments)
    except Exception as error:  # each kind is asserted on by the test
        kinds = [kind.__name__ for kind in type(error).__mro__]
        return f"{'|'.join(kinds)}: {error}"
    return "ok"


def weights(model: GroupDNet) -> float:
    """A figure that tells two models apart."""
    return float(sum(p.double().abs().sum() for p in model.parameters()))


def main() -> None:
    """All visits."""
    local, cache = sys.argv[1], sys.argv[2]
    model = GroupDNet.from_pretrained("user/model", cache_dir=cache)
    results = {
        "main": weights(model),
        "training": not model.training,
        "v2": weights(GroupDNet.from_pretrained("user/model", revision="v2", cache_dir=cache)),
        "half": str(GroupDNet.from_pretrained("user/model", cache_dir=cache, dtype=torch.float16).dtype),
        "cached": outcome(pretrained_model_name_or_path="user/model", cache_dir=cache, local_files_only=True),
        "not cached": outcome(
            pretrained_model_name_or_path="user/other", cache_dir=cache, local_files_only=True
        ),
        "unknown repository": outcome(pretrained_model_name_or_path="user/nothing", cache_dir=cache),
        "unknown revision": outcome(
            pretrained_model_name_or_path="user/model", revision="v99", cache_dir=cache
        ),
        "no weights": outcome(pretrained_model_name_or_path="user/pickled", cache_dir=cache),
    }
    pushed = GroupDNet.from_pretrained(local)
    pushed.push_to_hub("user/pushed", token="hf_token", commit_message="First version")
    results["pushed"] = weights(pushed)
    results["pulled"] = weights(GroupDNet.from_pretrained("user/pushed", cache_dir=cache))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
