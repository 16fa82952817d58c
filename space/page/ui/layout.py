"""The studio on the page: the stage and the tabs below it, laid out and connected."""

from __future__ import annotations

import gradio as gr

from ..core.session import Session
from ..core.studio import Studio
from .components import pinned_copy
from .help import lay_out_help
from .memory.keeping import keeper
from .memory.keeping_events import add_keeping_events
from .photo_components import dropped_files
from .stage import lay_out_stage
from .stage_events import add_stage_events
from .tabs.map_files import lay_out_map_files
from .tabs.mix import add_mix_events, lay_out_mix
from .tabs.morph import add_morph_events, lay_out_morph
from .tabs.photo import add_photo_events, lay_out_photo
from .views import SessionView


def add_studio(page: gr.Blocks, studio: Studio) -> None:
    """Lay out a studio where the page is being made, and connect it.

    A further tab is a module in ``tabs/``, with its own panel, and two lines here.
    """
    state = gr.State(Session())  # each visitor gets a copy
    with gr.Row(elem_id="head"):
        gr.HTML(
            "<h1>GroupDNet</h1><p>Paint a label map, and it becomes a picture. Every class has its own appearance: "
            "<b>redraw one, and the rest stays.</b></p>",
            elem_id="title",
            apply_default_css=False,
        )
        lay_out_help(studio)
    pinned_copy("pinned", "picture", "status")
    keeps = keeper()
    stage = lay_out_stage(studio)
    dropped_files()
    with gr.Tabs(elem_id="tools"):
        with gr.Tab("Mix", id="mix-tab"):
            mix = lay_out_mix(studio.labels)
        with gr.Tab("Morph", id="morph-tab") as morph_tab:
            morph = lay_out_morph(studio)
        with gr.Tab("Photo", id="photo-tab") as photo_tab:
            photo = lay_out_photo(studio)
        with gr.Tab("Map files", id="own-maps-tab"):
            lay_out_map_files(studio.labels)
    ends = (morph.first, morph.second)
    view = SessionView(studio.labels, state, stage, mix.board, ends, keeps, lambda: studio.identity)
    add_stage_events(page, studio, view)
    add_keeping_events(studio, stage.memory.work, view)
    add_mix_events(studio, mix, view)
    add_morph_events(page, studio, morph_tab, morph, view)
    add_photo_events(studio, photo_tab, photo, view)
