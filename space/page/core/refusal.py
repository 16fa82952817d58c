"""Sentences for visitors that gradio shows as HTML: here, and only here, they become text that is safe in it."""

from __future__ import annotations

from html import escape

import gradio as gr


class Refusal(gr.Error):
    """A sentence that the page shows as plain text, whatever names stand in it.

    gradio shows the message of an error as HTML. Programs are to get the sentence as it is: :meth:`for_programs`.

    Args:
        sentence: plain text.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(escape(sentence, quote=False), print_exception=False)
        self.sentence = sentence

    def for_programs(self) -> gr.Error:
        """Return the error that an endpoint raises in its place."""
        return gr.Error(self.sentence, print_exception=False)


def inform(sentence: str) -> None:
    """Show a sentence, which is plain text, for five seconds beside the page."""
    gr.Info(escape(sentence, quote=False), duration=5)
