"""Colours, type and layout of the page."""

from __future__ import annotations

import gradio as gr

from groupdnet_hub import LabelSet

_SYSTEM_FONTS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")

CSS = """
.gradio-container { max-width: 1240px !important; margin: 0 auto !important; }
#title h1 { margin-bottom: 0; letter-spacing: -0.02em; }
#stage { gap: 1.5rem; }
/* The model's pictures are small: show them large, and keep their place while they change. */
#picture, #label-map { aspect-ratio: 1 / 1; }
#picture .image-frame, #label-map .image-frame { width: 100%; height: 100%; }
#picture img, #label-map img { width: 100%; height: 100%; object-fit: contain; }
#label-map img { image-rendering: pixelated; }
#examples .grid-wrap { min-height: 0; max-height: none; height: auto; padding: 2px; overflow: visible; }
#examples .grid-container { grid-template-columns: repeat(6, minmax(0, 1fr)); gap: 0.4rem; height: auto; }
#examples .gallery-item, #examples .gallery-item button { min-width: 0; width: 100%; aspect-ratio: 1 / 1; }
#examples { border: none !important; background: none; box-shadow: none; }
#shelf .caption-label { font-size: 0.65rem; }
#rerolls { gap: 0.5rem; flex-wrap: wrap; }
#rerolls button { text-align: left; justify-content: flex-start; flex: 1 1 45%; }
#rerolls button::before {
  content: ""; width: 0.9rem; height: 0.9rem; border-radius: 0.25rem; margin-right: 0.5rem;
  background: var(--swatch); border: 1px solid rgb(128 128 128 / 60%); flex: none;
}
#status { min-height: 2.2rem; opacity: 0.75; font-size: 0.85rem; }
#sampling { align-items: end; }
footer { display: none !important; }
"""


def swatch_css(labels: LabelSet) -> str:
    """Each reroll button shows its class's colour of the label map."""
    return "".join(
        f"#reroll-{i} {{ --swatch: rgb({r} {g} {b}); }}\n" for i, (r, g, b) in enumerate(labels.palette)
    )


def theme() -> gr.themes.Base:
    """Quiet, with the fonts of the reader's system: nothing is fetched from elsewhere."""
    return gr.themes.Soft(
        primary_hue="indigo",
        neutral_hue="slate",
        font=list(_SYSTEM_FONTS),
        font_mono=["ui-monospace", "monospace"],
    )
