"""The GroupDNet page: ``python space/app.py`` serves it on port 7860."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Before gradio is imported: nothing is sent anywhere, and no pictures are recorded in the visitor's browser.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("GRADIO_RUN_HISTORY", "False")

try:
    import gradio as gr
    import torch

    from groupdnet_hub import GroupDNetPipeline, read_label_map
except ModuleNotFoundError as error:
    if error.name not in ("gradio", "torch", "groupdnet_hub"):
        raise
    sys.exit(
        f'The page needs {error.name}: pip install "groupdnet-hub[space]", or pip install -e ".[space]" in a clone.'
    )

import session as actions
from endpoints import add_endpoints
from events import add_page_events
from layout import make_parts
from look_and_feel import ACCESSIBLE_NAMES, STYLE, class_colours, theme
from session import OPENING_SEED, Session

HERE = Path(__file__).resolve().parent
# Pictures that were shown are deleted after a day; looked for every hour.
CACHE_HOUR, CACHE_DAY = 3600, 24 * 3600


def load_pipeline() -> GroupDNetPipeline:
    """The model named by ``GROUPDNET_MODEL`` (a folder or a Hub id), or the bundled one.

    Raises:
        FileNotFoundError, ValueError, OSError: as ``GroupDNetPipeline.from_pretrained``.
    """
    source = os.environ.get("GROUPDNET_MODEL")
    if not source:
        source = str(HERE / "model")
        if not (HERE / "model").is_dir():
            raise FileNotFoundError(
                f"there is no folder {source}: put the bundled model there, or name another one, "
                "GROUPDNET_MODEL=FOLDER_OR_HUB_ID"
            )
    pipeline = GroupDNetPipeline.from_pretrained(source)
    return pipeline.to("cuda" if torch.cuda.is_available() else "cpu")


def fitting_examples(pipeline: GroupDNetPipeline) -> list[Path]:
    """The example maps that are of this model's classes and proportions."""
    fitting = []
    for path in sorted((HERE / "examples").glob("*.png")):
        try:
            read_label_map(path, pipeline.labels, size=pipeline.model.config.image_size, resize=True)
        except ValueError:
            continue
        fitting.append(path)
    return fitting


def build_page(pipeline: GroupDNetPipeline) -> gr.Blocks:
    """The page and its events. A visitor finds the first example drawn, if there is one."""
    examples = fitting_examples(pipeline)
    opened = actions.open_map(pipeline, Session(), examples[0], OPENING_SEED) if examples else Session()
    with gr.Blocks(title="GroupDNet", delete_cache=(CACHE_HOUR, CACHE_DAY)) as page:
        state = gr.State(opened)  # each visitor gets a copy
        parts = make_parts(pipeline.labels, examples, opened)
        add_page_events(pipeline, examples, state, parts)
        add_endpoints(pipeline, state)
    return page


def main() -> None:
    """Load the model and serve the page."""
    try:
        pipeline = load_pipeline()
    except (ValueError, OSError) as error:
        sys.exit(f"The model cannot be loaded: {error}")
    port = os.environ.get("GRADIO_SERVER_PORT", "7860")
    if not port.isdecimal():
        sys.exit(f"GRADIO_SERVER_PORT is {port!r}; it must be a port number, such as 7860.")
    page = build_page(pipeline)
    page.queue(max_size=32)
    try:
        page.launch(
            server_name=os.environ.get("GRADIO_SERVER_NAME"),
            server_port=int(port),
            theme=theme(),
            css_paths=STYLE,
            css=class_colours(pipeline.labels),
            js=ACCESSIBLE_NAMES,
            footer_links=["api", "settings"],
            max_file_size="25mb",
            # A session holds some twenty pictures with their codes: a few MB.
            state_session_capacity=500,
            ssr_mode=False,
        )
    except OSError as error:
        sys.exit(f"The page cannot be served: {error} (GRADIO_SERVER_PORT chooses the port)")


if __name__ == "__main__":
    main()
