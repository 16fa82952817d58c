"""Colours and type; the layout's rules are in ``style.css``, those of our own components in the other files."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

_SHEETS = (
    *("style", "widgets", "painter", "choices", "memory", "keeper"),
    *("pinned", "help", "photo", "film", "endpoints"),
)
STYLES = [Path(__file__).parent / "static" / f"{name}.css" for name in _SHEETS]
_SYSTEM_FONTS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")


def proportions(size: tuple[int, int]) -> str:
    """Return CSS that tells the layout the proportions of the model's pictures, (height, width)."""
    return f":root {{ --aspect: {size[1] / size[0]:.6g}; }}"


def theme() -> gr.themes.Base:
    """Return a quiet theme with the fonts of the reader's system: nothing is fetched from elsewhere."""
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
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
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
        button_medium_text_weight="500",
        button_large_text_size="*text_md",
        input_background_fill="white",
        input_background_fill_dark="*neutral_800",
    )
