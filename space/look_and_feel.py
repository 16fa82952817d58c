"""Colours, type and names for screen readers; the layout's rules are in ``style.css``."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from groupdnet_hub import LabelSet

STYLE = Path(__file__).with_name("style.css")
_SYSTEM_FONTS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")

# gradio's pictures come without a text; they are replaced at every change, so the names are set again each time.
ACCESSIBLE_NAMES = """
() => {
  const names = {
    "picture": "The picture drawn from the label map",
    "label-map": "The label map, one colour for each class",
    "picture-a": "Look A",
    "picture-b": "Look B",
  };
  const name = () => {
    for (const [id, text] of Object.entries(names))
      for (const image of document.querySelectorAll(`#${id} img`))
        if (image.alt !== text) image.alt = text;
    document.querySelectorAll("#examples button").forEach((button, i) => {
      const text = `Example label map ${i + 1}`;
      if (button.getAttribute("aria-label") !== text) button.setAttribute("aria-label", text);
    });
    document.querySelectorAll(".class-name").forEach((button) => {
      const text = `Redraw ${button.textContent.trim()}`;
      if (button.title !== text) button.title = text;
    });
    document.querySelector("#status")?.setAttribute("aria-live", "polite");
  };
  name();
  new MutationObserver(name).observe(document.body, { childList: true, subtree: true });
}
"""


def class_colours(labels: LabelSet) -> str:
    """CSS that gives every class's button, choice and legend its colour of the label map."""
    return "".join(
        f".class-{i} {{ --swatch: rgb({r} {g} {b}); }}\n" for i, (r, g, b) in enumerate(labels.palette)
    )


def theme() -> gr.themes.Base:
    """Quiet, with the fonts of the reader's system: nothing is fetched from elsewhere."""
    return gr.themes.Default(
        primary_hue="indigo",
        neutral_hue="slate",
        radius_size="md",
        font=list(_SYSTEM_FONTS),
        font_mono=["ui-monospace", "monospace"],
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_shadow="none",
        block_padding="0px",
        block_label_text_color="*body_text_color_subdued",
        block_title_text_color="*body_text_color_subdued",
        block_title_text_size="*text_sm",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_text_color="white",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_secondary_background_fill="white",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_700",
        button_border_width="1px",
        button_large_text_weight="500",
        button_large_text_size="*text_md",
        input_background_fill="white",
        input_background_fill_dark="*neutral_800",
    )
