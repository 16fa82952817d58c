"""Prepare raw data sets as folders that train.py reads: ``python train/prepare.py SOURCE --input RAW --output FOLDER``.

SOURCE is one of

- ``ccp``: Clothing Co-Parsing; ``--download`` fetches it (Apache-2.0);
- ``deepfashion``: DeepFashion In-shop and a human parser's label maps (LIP, CIHP or ATR ids);
- ``cityscapes``: leftImg8bit and gtFine, with instance maps;
- ``ade20k``: the scene parsing benchmark, ADEChallengeData2016;
- ``folder``: any folder of pictures and one of label maps;
- ``photos``: photos without label maps, which a parser labels; those of which it is sure are used, or with ``--tags``
  those with whose tags it agrees.

It writes OUTPUT/classes.json and, for each split, OUTPUT/SPLIT/ with images/, labels/, instances/ where there are any,
and metadata.jsonl; with --shard_size, OUTPUT/data/ with shards of many pictures. Processes and machines that
``accelerate launch`` starts share the work, where they see the same OUTPUT. A stopped run resumes when it is started
again with the same flags. Pairs that cannot be read or do not fit are listed at the end, and the exit status is then 1;
it is 2 if the run could not be started.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from groupdnet_hub.data.shards.writing import require_parquet
from groupdnet_hub.prepare.config import CcpConfig, PrepareConfig, parse_prepare_config
from groupdnet_hub.prepare.download import CCP_LICENCE, download_ccp
from groupdnet_hub.prepare.plan import conditions_of, find_items, on_device
from groupdnet_hub.prepare.push import push, require_datasets
from groupdnet_hub.prepare.run import Preparing
from groupdnet_hub.prepare.sources import Found
from groupdnet_hub.prepare.work.summary import Preparation, Summary
from groupdnet_hub.runs.scripts import run_command
from groupdnet_hub.runs.sharding import on_main_process, start_accelerator


def run(settings: PrepareConfig) -> Summary:
    """Download if requested, prepare, and upload if requested.

    Raises:
        ValueError, OSError: if the run cannot start or continue.
    """
    if settings.push_to_hub:
        require_datasets()  # before an hour of work
    if settings.shard_size:
        require_parquet("--shard_size")
    accelerator = start_accelerator()

    def find() -> tuple[Found, Preparation]:
        if isinstance(settings, CcpConfig) and settings.download:
            print(CCP_LICENCE)
            download_ccp(settings.raw)
            print(f"Clothing Co-Parsing is in {settings.raw}")
        return find_items(settings)

    def upload() -> str:
        return push(
            settings.output,
            settings.push_to_hub or "",
            private=settings.hub_private,
            shards=bool(settings.shard_size),
        )

    found, recipe = on_main_process(accelerator, find)
    preparing = Preparing(
        found,
        on_device(recipe, settings, str(accelerator.device)),
        conditions_of(settings),
        settings.output,
        accelerator,
        settings.workers,
    )
    summary = preparing.shards(settings.shard_size) if settings.shard_size else preparing.files()
    accelerator.print("\n".join(summary.lines()), flush=True)
    if settings.push_to_hub and summary.prepared:
        accelerator.print(f"uploaded to {on_main_process(accelerator, upload)}")
    accelerator.end_training()
    return summary


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    settings = parse_prepare_config(argv, description=__doc__ or "")
    try:
        summary = run(settings)
    except (ValueError, OSError) as error:
        print(f"prepare.py: {error}", file=sys.stderr)
        return 2
    return 1 if summary.problems or not summary.prepared else 0


if __name__ == "__main__":
    run_command("prepare.py", main)
