"""The Edit tab: the sliders of models that can be edited, with a still that follows them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import gradio as gr

from thg_zoo.demo import example_source, status
from thg_zoo.demo.controls import chosen, editing_groups
from thg_zoo.demo.gradio_versions import DOWNLOAD, FOLLOWING, QUIET
from thg_zoo.demo.inputs import heading, picture_input
from thg_zoo.demo.service import Service
from thg_zoo.demo.shelf import picker_label
from thg_zoo.errors import ThgZooError
from thg_zoo.zoo import ModelDescription

_DEFAULT = "liveportrait"
_HELP = "Give a picture and move a slider: the still follows."


class EditTab:
    """Its components and what they do."""

    def __init__(self, service: Service, models: Sequence[ModelDescription]) -> None:
        self.service = service
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320):
                with gr.Column(elem_classes="zoo-step"):
                    heading(1, "The face")
                    self.picture = picture_input("edit-picture")
                self.example = gr.Button("Take the example", size="sm", elem_id="edit-example")
                self.status = gr.HTML(status.hint(_HELP), elem_id="edit-status", elem_classes="zoo-plain")
                self.still = gr.Image(
                    show_label=False, interactive=False, height=400, elem_id="edit-still", format="png", **DOWNLOAD
                )
            with gr.Column(scale=6, min_width=320), gr.Column(elem_classes="zoo-step"):
                heading(2, "The model and its sliders")
                self.model = gr.Dropdown(
                    [(picker_label(m, service.settings), m.name) for m in models],
                    value=_DEFAULT,
                    label="Model",
                    show_label=False,
                    container=False,
                    elem_id="edit-model",
                )
                self.groups = editing_groups(models, _DEFAULT)
                self.reset = gr.Button("Back to the picture as it is", size="sm", elem_id="edit-reset")
        self._connect()

    def _connect(self) -> None:
        controls = [c.component for group in self.groups for c in group.controls]
        boxes = [group.box for group in self.groups]
        inputs = [self.picture, self.model, *controls]
        live: dict[str, Any] = {"trigger_mode": "always_last", **FOLLOWING}
        outputs = [self.status, self.still]
        # A slider tells when it is let go: every step on the way would be a run that nobody looks at.
        moved = [c.release if isinstance(c, gr.Slider) else c.input for c in controls]
        gr.on([self.picture.upload, self.picture.input, self.model.input, *moved], self._edit, inputs, outputs, **live)
        self.model.change(self._show_model, self.model, boxes, **QUIET)
        self.example.click(
            lambda: str(self.service.examples / example_source().name), None, self.picture, **QUIET
        ).then(self._edit, inputs, outputs, **live)
        self.reset.click(lambda: [c.value for c in controls], None, controls, **QUIET).then(
            self._edit, inputs, outputs, **live
        )

    def _show_model(self, model: str) -> list[Any]:
        return [gr.update(visible=model in group.models) for group in self.groups]

    async def _edit(self, request: gr.Request, picture: Any, model: str, *values: Any) -> AsyncIterator[list[Any]]:
        if not picture:
            yield [status.hint(_HELP), gr.skip()]
            return
        try:
            visitor = self.service.visitors.of(request.session_hash)
            job = self.service.edit(visitor, model, picture, chosen(self.groups, model, values))
        except ThgZooError as error:
            yield [status.failed(error), gr.skip()]
            return
        async for now in self.service.watch(job):
            if not job.finished:
                yield [status.progress(now), gr.skip()]
        if job.state == "done":
            yield [status.hint("Move a slider: the still follows."), str(job.result)]
        else:
            yield [status.failed(job.error) if job.error else status.cancelled(), gr.skip()]
