"""What a user does with the Hub, in a process of its own: the Hub's address is read when its library is imported.

Prints one JSON object: what came out of each visit.
"""

from __future__ import annotations

import json
import sys

import torch

from groupdnet_hub import GroupDNet, GroupDNetPipeline
from tests.helpers.hub_models import fingerprint


def outcome(**arguments: object) -> str:
    """``ok``, or the kind and text of the error."""
    try:
        GroupDNet.from_pretrained(**arguments)
    except Exception as error:  # each kind is asserted on by the test
        kinds = [kind.__name__ for kind in type(error).__mro__]
        return f"{'|'.join(kinds)}: {error}"
    return "ok"


def main() -> None:
    """All visits."""
    local, cache = sys.argv[1], sys.argv[2]
    model = GroupDNet.from_pretrained("user/model", cache_dir=cache)
    results = {
        "main": fingerprint(model),
        "training": not model.training,
        "v2": fingerprint(GroupDNet.from_pretrained("user/model", revision="v2", cache_dir=cache)),
        "half": str(GroupDNet.from_pretrained("user/model", cache_dir=cache, dtype=torch.float16).dtype),
        "cached": outcome(pretrained_model_name_or_path="user/model", cache_dir=cache, local_files_only=True),
        "not cached": outcome(
            pretrained_model_name_or_path="user/other", cache_dir=cache, local_files_only=True
        ),
        "unknown repository": outcome(pretrained_model_name_or_path="user/nothing", cache_dir=cache),
        "unknown revision": outcome(
            pretrained_model_name_or_path="user/model", revision="v99", cache_dir=cache
        ),
        "private": outcome(pretrained_model_name_or_path="private/model", cache_dir=cache),
        "gated": outcome(pretrained_model_name_or_path="gated/model", cache_dir=cache),
        "no training facts": GroupDNet.from_pretrained("user/bare", cache_dir=cache).card_facts,
        "subfolder": fingerprint(
            GroupDNet.from_pretrained("user/nested", subfolder="models/small", cache_dir=cache)
        ),
        "unknown subfolder": outcome(
            pretrained_model_name_or_path="user/nested", subfolder="models/big", cache_dir=cache
        ),
        "unknown variant": outcome(
            pretrained_model_name_or_path="user/model", variant="fp16", cache_dir=cache
        ),
        "no weights": outcome(pretrained_model_name_or_path="user/pickled", cache_dir=cache),
    }
    pushed = GroupDNet.from_pretrained(local)
    pushed.push_to_hub("user/pushed", token="hf_token", commit_message="First version")
    pushed.push_to_hub("short", token="hf_token")
    results["pushed"] = fingerprint(pushed)
    results["pulled"] = fingerprint(GroupDNet.from_pretrained("user/pushed", cache_dir=cache))
    other = GroupDNet.from_pretrained("user/model", cache_dir=cache)
    other.push_to_hub("user/pushed", token="hf_token", branch="trial")
    results["pulled from the branch"] = fingerprint(
        GroupDNet.from_pretrained("user/pushed", revision="trial", cache_dir=cache)
    )
    pushed.push_to_hub("user/pushed", token="hf_token", create_pr=True)
    # The card of a repository that somebody wrote on stays; one that was loaded goes with its model.
    pushed.push_to_hub("user/written", token="hf_token")
    written = GroupDNetPipeline.from_pretrained("user/written", cache_dir=cache)
    written.push_to_hub("user/carried", token="hf_token", private=True)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
