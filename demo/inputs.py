"""The face and what drives it: the inputs that the tabs share in kind, each with components of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from thg_zoo.demo import example_driver, example_source
from thg_zoo.demo.gradio_versions import NO_BUTTONS, PRIVATE, QUIET
from thg_zoo.demo.memory import Memory
from thg_zoo.demo.settings import Settings
from thg_zoo.demo.shelf import on_machine, picker_label
from thg_zoo.zoo import list_models

SOURCES = {"Picture": "image", "Video": "video"}
DRIVERS = {"Speech": "audio", "Video": "video"}
_HEIGHT = 270


@dataclass(frozen=True)
class Given:
    """What a visitor gave: uploads as the browser names them, and their kinds."""

    source_kind: str
    source: Any
    driver_kind: str
    driver: Any


class MediaInputs:
    """The components. `components` are in the order of `read`."""

    def __init__(self, prefix: str, examples: Path) -> None:
        self._examples = examples
        with gr.Column(elem_classes="zoo-step"):
            heading(1, "The face")
            self.source_kind = _kind_input(SOURCES, "Kind of face", f"{prefix}-source-kind")
            self.picture = picture_input(f"{prefix}-picture")
            self.clip = _video_input(f"{prefix}-clip")
        with gr.Column(elem_classes="zoo-step"):
            heading(2, "The voice, or the motion")
            self.driver_kind = _kind_input(DRIVERS, "Kind of driver", f"{prefix}-driver-kind")
            self.speech = gr.Audio(
                type="filepath",
                sources=["upload", "microphone"],
                show_label=False,
                elem_id=f"{prefix}-speech",
                **NO_BUTTONS,
            )
            self.motion = _video_input(f"{prefix}-motion")
        self.example = gr.Button(
            "Take the example",
            variant="secondary",
            size="sm",
            elem_id=f"{prefix}-example",
        )

    @property
    def components(self) -> list[Any]:
        """All that a visitor sets."""
        return [self.source_kind, self.picture, self.clip, self.driver_kind, self.speech, self.motion]

    def read(self, values: Sequence[Any]) -> Given:
        """What the values of `components` say; a part that is not shown does not count."""
        source_kind, picture, clip, driver_kind, speech, motion = values
        return Given(
            SOURCES.get(source_kind, "image"),
            clip if source_kind == "Video" else picture,
            DRIVERS.get(driver_kind, "audio"),
            motion if driver_kind == "Video" else speech,
        )

    def example_values(self) -> list[Any]:
        """The values of `components` for the bundled example."""
        source, driver = (str(self._examples / file.name) for file in (example_source(), example_driver()))
        return ["Picture", source, None, "Speech", driver, None]

    def restored(self, values: Sequence[Any]) -> list[Any]:
        """Updates of `components` to `values`, files as paths, with what the kinds ask for shown."""
        shown: dict[int, bool] = dict(zip((1, 2), _visible(values[0]), strict=True))
        shown |= dict(zip((4, 5), _visible(values[3]), strict=True))
        return [_restored(value, shown.get(k)) for k, value in enumerate(values)]

    def connect(self, memory: Memory, tab: str, kept: Sequence[Any], changes: Sequence[Any]) -> None:
        """Show what the kinds ask for, fill in the example, and remember `kept` after any of the `changes`."""
        self.source_kind.change(_one_of_two, self.source_kind, [self.picture, self.clip], **QUIET)
        self.driver_kind.change(_one_of_two, self.driver_kind, [self.speech, self.motion], **QUIET)
        remember: dict[str, Any] = {"js": memory.script(tab, kept), **PRIVATE}
        filled = self.example.click(self._example_values, None, self.components, **QUIET)
        filled.then(None, [memory.state, *kept], memory.state, **remember)
        # A visitor's own changes only: those that a load makes would store the values before they are restored.
        files: list[Any] = [self.picture, self.clip, self.speech, self.motion]
        # Videos of gradio 5 have no event `input`, which only recording needs.
        own = [getattr(f, name) for f in files for name in ("upload", "clear", "input") if hasattr(f, name)]
        own += [self.source_kind.input, self.driver_kind.input, self.speech.stop_recording, *changes]
        gr.on(own, None, [memory.state, *kept], memory.state, **remember)

    def _example_values(self) -> list[Any]:
        source, driver = (str(self._examples / file.name) for file in (example_source(), example_driver()))
        return ["Picture", source, None, "Speech", driver, None]


def picker(source_kind: str, driver_kind: str, settings: Settings) -> list[tuple[str, str]]:
    """Labels and names of the models that take this kind of source and of driver, those on this machine first."""
    fits = [m for m in list_models(driver=driver_kind) if source_kind in m.spec.sources]
    fits.sort(key=lambda m: not on_machine(m, settings))
    return [(picker_label(m, settings), m.name) for m in fits]


def picture_input(elem_id: str) -> Any:
    """A picture from a file, a camera or the clipboard, left as it is."""
    return gr.Image(
        type="filepath",
        image_mode=None,
        sources=["upload", "webcam", "clipboard"],
        show_label=False,
        height=_HEIGHT,
        elem_id=elem_id,
        **NO_BUTTONS,
    )


def _kind_input(kinds: Iterable[str], label: str, elem_id: str) -> Any:
    """A choice between kinds of files, at first the first. The label is for screen readers."""
    names = list(kinds)
    return gr.Radio(names, value=names[0], label=label, show_label=False, container=False, elem_id=elem_id)


def _video_input(elem_id: str) -> Any:
    """A video file, hidden until it is asked for."""
    return gr.Video(sources=["upload"], show_label=False, height=_HEIGHT, visible=False, elem_id=elem_id, **NO_BUTTONS)


def heading(number: int, text: str) -> Any:
    """The numbered title of a step."""
    return gr.HTML(f'<h3 class="zoo-heading"><i>{number}</i>{text}</h3>')


def _visible(kind: str) -> tuple[bool, bool]:
    """Whether the picture (or the sound) is shown, and whether the video is."""
    return kind != "Video", kind == "Video"


def _restored(value: Any, shown: bool | None) -> Any:
    """An update to a value (None: none is known), and of whether the component is shown, if that can change."""
    update: dict[str, Any] = {} if value is None else {"value": value}
    return gr.update(**update) if shown is None else gr.update(visible=shown, **update)


def _one_of_two(kind: str) -> tuple[Any, Any]:
    first, second = _visible(kind)
    return gr.update(visible=first), gr.update(visible=second)
