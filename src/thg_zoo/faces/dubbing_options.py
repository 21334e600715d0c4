"""The options that models which redraw a video's own face share."""

from __future__ import annotations

from typing import Any

from thg_zoo.options import option


def face_option() -> Any:
    """Which of several people, as `face`: `best`, `largest`, or a number."""
    return option(
        "best",
        "Which face: best (the likeliest in each frame), largest, or its number counted from the left.",
        choices=("best", "largest"),
        or_index=True,
        stage="source",
    )


def missing_face_option() -> Any:
    """What to do with frames without a face, as `missing_face`; see `thg_zoo.faces.missing.present`."""
    return option(
        "error",
        "A video's frames without a face: stop, repeat the last box, or let them pass unchanged.",
        choices=("error", "hold", "pass"),
        stage="source",
    )
