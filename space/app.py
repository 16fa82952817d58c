"""The GroupDNet page: ``python space/app.py`` serves it on port 7860."""

from __future__ import annotations

import functools
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

try:
    import gradio as gr
except ImportError:
    sys.exit('The page needs gradio: pip install "groupdnet-hub[space]"')

import session as actions
import torch
from look_and_feel import CSS, swatch_css, theme
from session import CURRENT, Session

from groupdnet_hub import GroupDNetPipeline, colour_picture, read_label_map

HERE = Path(__file__).resolve().parent
# One worker for all that runs the model: two at once would each take twice as long.
MODEL_QUEUE: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}
MAX_SEED = 2**31 - 1


def load_pipeline() -> GroupDNetPipeline:
    """The model named by ``GROUPDNET_MODEL`` (a folder or a Hub id), or the bundled one."""
    source = os.environ.get("GROUPDNET_MODEL") or str(HERE / "model")
    pipeline = GroupDNetPipeline.from_pretrained(source)
    return pipeline.to("cuda" if torch.cuda.is_available() else "cpu")


def fitting_examples(pipeline: GroupDNetPipeline) -> list[Path]:
    """The example maps that this model can draw."""
    fitting = []
    for path in sorted((HERE / "examples").glob("*.png")):
        try:
            read_label_map(path, pipeline.labels, size=pipeline.model.config.image_size, resize=True)
        except ValueError:
            continue  # made for other classes
        fitting.append(path)
    return fitting


def plainly(action: Callable[..., Any]) -> Callable[..., Any]:
    """Show a refusal as one sentence on the page; the session stays as it was."""

    @functools.wraps(action)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return action(*args, **kwargs)
        except ValueError as error:
            text = str(error)
            raise gr.Error(text[:1].upper() + text[1:], print_exception=False) from None

    return wrapped


def build_page(pipeline: GroupDNetPipeline) -> gr.Blocks:
    """The page and its events."""
    labels, examples = pipeline.labels, fitting_examples(pipeline)

    with gr.Blocks(title="GroupDNet") as page:
        state = gr.State(Session())
        gr.Markdown(
            "# GroupDNet\nEvery class of the label map has an appearance of its own. "
            "**Reroll one, and the rest stays.**",
            elem_id="title",
        )
        with gr.Row(elem_id="stage"):
            with gr.Column(min_width=320):
                gr.Markdown("### Label map")
                gallery = gr.Gallery(
                    [str(path) for path in examples],
                    columns=6,
                    buttons=[],
                    allow_preview=False,
                    show_label=False,
                    format="png",
                    elem_id="examples",
                    visible=bool(examples),
                )
                upload = gr.UploadButton(
                    "Upload a label map",
                    file_types=["image"],
                    file_count="single",
                    type="filepath",
                    elem_id="upload",
                )
                map_image = gr.Image(
                    show_label=False,
                    type="pil",
                    format="png",
                    interactive=False,
                    elem_id="label-map",
                    buttons=["download"],
                )
            with gr.Column(min_width=320):
                gr.Markdown("### Picture")
                picture = gr.Image(
                    show_label=False,
                    type="pil",
                    format="png",
                    interactive=False,
                    elem_id="picture",
                    buttons=["download", "fullscreen"],
                )
                with gr.Row(elem_id="sampling"):
                    seed = gr.Number(
                        0,
                        label="seed",
                        precision=0,
                        minimum=0,
                        maximum=MAX_SEED,
                        elem_id="seed",
                        min_width=110,
                    )
                    sample_button = gr.Button("Draw this seed", elem_id="sample", min_width=120)
                    surprise_button = gr.Button(
                        "New sample", variant="primary", elem_id="surprise", min_width=120
                    )
            with gr.Column(min_width=280):
                gr.Markdown("### Reroll one class")
                with gr.Row(elem_id="rerolls"):
                    rerolls = [
                        gr.Button(name, visible=False, size="sm", elem_id=f"reroll-{i}", min_width=110)
                        for i, name in enumerate(labels.names)
                    ]
                status = gr.Markdown(elem_id="status")
                gr.Markdown("### Mix two looks")
                keep_button = gr.Button("Keep this look", size="sm", elem_id="keep")
                shelf = gr.Gallery(
                    columns=4,
                    height=150,
                    allow_preview=False,
                    label="shelf",
                    format="png",
                    elem_id="shelf",
                    visible=False,
                )
                with gr.Row():
                    first = gr.Dropdown(
                        [CURRENT], value=CURRENT, label="look A", elem_id="look-a", min_width=110
                    )
                    second = gr.Dropdown(
                        [CURRENT], value=CURRENT, label="look B", elem_id="look-b", min_width=110
                    )
                chosen = gr.CheckboxGroup([], label="classes taken from look B", elem_id="from-b")
                mix_button = gr.Button("Mix", variant="primary", size="sm", elem_id="mix")
        # Endpoints for programs; people press the buttons above.
        class_name = gr.Textbox(visible=False)
        api_reroll = gr.Button(visible=False)

        shown = [state, picture, map_image, seed, status, chosen, *rerolls]
        shelves = [state, shelf, first, second]

        def show(made: Session, drawn_with: int | None, message: str) -> list[Any]:
            look = actions.current(made)
            return [
                made,
                look.image,
                colour_picture(look.mask, labels),
                gr.skip() if drawn_with is None else drawn_with,
                message,
                gr.update(choices=list(look.classes)),
                *(gr.update(visible=name in look.classes) for name in labels.names),
            ]

        @plainly
        def on_open() -> list[Any]:
            if not examples:
                return [gr.skip()] * len(shown)
            return show(actions.open_map(pipeline, Session(), examples[0], 0), 0, "Drawn with seed 0.")

        @plainly
        def on_example(made: Session, seed_now: float, event: gr.SelectData) -> list[Any]:
            opened = actions.open_map(pipeline, made, examples[event.index], _as_seed(seed_now))
            return show(opened, None, f"Example {event.index + 1}, seed {_as_seed(seed_now)}.")

        @plainly
        def on_upload(made: Session, path: str, seed_now: float) -> list[Any]:
            opened = actions.open_map(pipeline, made, path, _as_seed(seed_now))
            return show(opened, None, f"Your label map, seed {_as_seed(seed_now)}.")

        @plainly
        def on_sample(made: Session, seed_now: float) -> list[Any]:
            return show(
                actions.sample(pipeline, made, _as_seed(seed_now)),
                None,
                f"Drawn with seed {_as_seed(seed_now)}.",
            )

        @plainly
        def on_surprise(made: Session) -> list[Any]:
            fresh = secrets.randbelow(MAX_SEED)
            return show(actions.sample(pipeline, made, fresh), fresh, f"Drawn with seed {fresh}.")

        @plainly
        def on_reroll(made: Session, name: str, seed_now: float | None = None) -> list[Any]:
            fresh = secrets.randbelow(MAX_SEED) if seed_now is None else _as_seed(seed_now)
            rerolled = actions.reroll(pipeline, made, name, fresh)
            return show(rerolled, None, f"{name} drawn anew, seed {fresh}; all else kept.")

        @plainly
        def on_keep(made: Session) -> list[Any]:
            kept = actions.keep(made)
            return [
                kept,
                gr.update(
                    value=[(look.image, f"shelf {i}") for i, look in enumerate(kept.shelf, 1)], visible=True
                ),
                gr.update(choices=kept.shelf_names),
                gr.update(choices=kept.shelf_names, value=kept.shelf_names[-1]),
            ]

        @plainly
        def on_mix(made: Session, a: str, b: str, classes: list[str]) -> list[Any]:
            if not classes:
                raise ValueError("choose at least one class to take from look B.")
            return show(
                actions.mix(pipeline, made, a, b, classes), None, f"{a}, with {', '.join(classes)} of {b}."
            )

        private: dict[str, Any] = {"api_visibility": "private", **MODEL_QUEUE}
        page.load(on_open, None, shown, **private)
        gallery.select(on_example, [state, seed], shown, **private)
        upload.upload(on_upload, [state, upload, seed], shown, api_name="open_map", **MODEL_QUEUE)
        sample_button.click(on_sample, [state, seed], shown, api_name="sample", **MODEL_QUEUE)
        seed.submit(on_sample, [state, seed], shown, **private)
        surprise_button.click(on_surprise, state, shown, **private)
        for button, name in zip(rerolls, labels.names, strict=True):
            button.click(_bound(on_reroll, name), state, shown, **private)
        api_reroll.click(on_reroll, [state, class_name, seed], shown, api_name="reroll", **MODEL_QUEUE)
        keep_button.click(on_keep, state, shelves, api_name="keep")
        mix_button.click(on_mix, [state, first, second, chosen], shown, api_name="mix", **MODEL_QUEUE)
    return page


def _bound(action: Callable[..., Any], name: str) -> Callable[[Session], Any]:
    def bound(made: Session) -> Any:
        return action(made, name)

    return bound


def _as_seed(value: float | None) -> int:
    if value is None or not 0 <= value <= MAX_SEED:
        raise ValueError(f"the seed must be a whole number from 0 to {MAX_SEED}.")
    return int(value)


def main() -> None:
    """Load the model and serve the page."""
    try:
        pipeline = load_pipeline()
    except (ValueError, OSError) as error:
        sys.exit(f"The model cannot be loaded: {error}")
    page = build_page(pipeline)
    page.queue(max_size=32)
    page.launch(
        server_name=os.environ.get("GRADIO_SERVER_NAME"),
        server_port=int(os.environ.get("GRADIO_SERVER_PORT", "7860")),
        theme=theme(),
        css=CSS + swatch_css(pipeline.labels),
        max_file_size="25mb",
    )


if __name__ == "__main__":
    main()
