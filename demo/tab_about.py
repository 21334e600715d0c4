"""The last tab: what this is, its limits, and how to use it well."""

from __future__ import annotations

import gradio as gr

from thg_zoo.demo.settings import Settings
from thg_zoo.media.limits import Limits
from thg_zoo.version import __version__

_TEXT = """
### Use it well
Animate only people who agreed to it, and say that the result is synthetic. Every video carries a mark in its metadata
(IPTC digital source type) that says so; the mark is not a substitute for saying it.

### What happens to your files
What you upload and what is made of it lies in a folder of your own on the machine that serves this page. It is deleted
{minutes:.0f} minutes after you close the page. Nobody else's page or program can list or find it, and nothing is sent
to other machines.

### Limits
Files of up to {upload} MB, pictures of up to {pixels:.0f} megapixels, sound and video of up to {seconds}. Pictures:
PNG, JPEG, WebP, BMP, TIFF, GIF. Sound: WAV, MP3, M4A, OGG, FLAC and more. Video: MP4, MOV, MKV, WebM, AVI and more.

### The same without the page
`thg-zoo run warp face.png speech.wav -o out.mp4` on the command line; `thg_zoo.load("warp").animate(...)` in Python;
and this page is an API: see `docs/api.md`, or on wide screens the link at its foot.

thg-zoo {version}, Apache-2.0. The weights of models have licences of their own, shown with each model. The example
shows Eileen Collins, astronaut (NASA, public domain); its speech was made with espeak-ng (CC0).
"""


def build(settings: Settings) -> None:
    """Add it to the current layout."""
    limits = Limits.from_environment()
    gr.Markdown(
        _TEXT.format(
            minutes=settings.keep_seconds / 60,
            upload=settings.max_upload_mb,
            pixels=limits.max_pixels / 1e6,
            seconds=_duration(limits.max_seconds),
            version=__version__,
        )
    )


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:g} hours" if seconds >= 3600 else f"{seconds:g} seconds"
