"""Where gradio 5 and 6 differ."""

from __future__ import annotations

from typing import Any

import gradio as gr

MAJOR = int(gr.__version__.split(".")[0])

# Events of the page are no part of the API.
PRIVATE: dict[str, Any] = {"api_visibility": "private"} if MAJOR >= 6 else {"api_name": False}
# Events that answer at once. Values come as they were sent: what gradio would check them against is the state of a
# session, which may be gone (see server.py).
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "preprocess": False, **PRIVATE}
# Events that follow a run, however many visitors do at once.
FOLLOWING: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "preprocess": False, **PRIVATE}
# One button on players and pictures: download.
DOWNLOAD: dict[str, Any] = (
    {"buttons": ["download"]} if MAJOR >= 6 else {"show_download_button": True, "show_share_button": False}
)
NO_BUTTONS: dict[str, Any] = (
    {"buttons": []} if MAJOR >= 6 else {"show_download_button": False, "show_share_button": False}
)


def look(theme: Any, css: str, head: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The looks, as arguments of `gr.Blocks` and of `launch`."""
    looks = {"theme": theme, "css": css, "head": head}
    if MAJOR >= 6:
        return {}, {**looks, "footer_links": ["api"], "run_history": False}
    return looks, {"show_api": True}
