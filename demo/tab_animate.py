"""The first tab: a face, a voice, a button, a video."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import Any

import gradio as gr

from thg_zoo.demo import status
from thg_zoo.demo.controls import chosen, control_groups
from thg_zoo.demo.gradio_versions import DOWNLOAD, QUIET
from thg_zoo.demo.inputs import DRIVERS, SOURCES, heading, picker
from thg_zoo.demo.jobs import Job
from thg_zoo.demo.media_tab import MediaTab
from thg_zoo.demo.run_panel import Run
from thg_zoo.demo.tasks import Made
from thg_zoo.demo.visitors import Visitor
from thg_zoo.errors import UsageError
from thg_zoo.zoo import describe, list_models

_DEFAULT = "warp"


class AnimateTab(MediaTab):
    """Its components and what they do."""

    name = "animate"
    button = "Make it talk"

    @property
    def kept(self) -> list[Any]:
        return [*self.media.components, self.model, *self._controls]

    @property
    def dependent(self) -> list[Any]:
        return [self.about, *(group.box for group in self.groups)]

    def restore(self, state: Any) -> list[Any]:
        values = self.memory.values(state, self.name, self.kept)
        if values is None:
            return [gr.skip() for _ in (*self.kept, *self.dependent)]
        at = len(self.media.components)
        given = self.media.read(values[:at])
        fits = picker(given.source_kind, given.driver_kind, self.service.settings)
        model = values[at] if values[at] in [name for _, name in fits] else fits[0][1]
        controls = [gr.skip() if value is None else gr.update(value=value) for value in values[at + 1 :]]
        return [
            *self.media.restored(values[:at]),
            gr.update(choices=fits, value=model),
            *controls,
            *self._show_model(model),
        ]

    @property
    def _controls(self) -> list[Any]:
        return [control.component for group in self.groups for control in group.controls]

    def _build_models(self) -> None:
        heading(3, "The model")
        self.model = gr.Dropdown(
            picker("image", "audio", self.service.settings),
            value=_DEFAULT,
            label="Model",
            show_label=False,
            container=False,
            elem_id="animate-model",
        )
        self.about = gr.HTML(_about(_DEFAULT))
        self.groups = control_groups(list_models(), _DEFAULT)

    def _build_results(self) -> None:
        self.video = gr.Video(
            show_label=False,
            interactive=False,
            autoplay=True,
            height=460,
            visible=False,
            elem_id="animate-video",
            **DOWNLOAD,
        )
        self.download = gr.HTML(visible=False, elem_id="animate-download", elem_classes="zoo-plain")
        with gr.Accordion("Report of the run", open=False, visible=False) as self.report_box:
            self.report = gr.Code(language="json", show_label=False, interactive=False)

    def _connect(self) -> None:
        kinds = [self.media.source_kind, self.media.driver_kind]
        gr.on([k.change for k in kinds], self._pick, [*kinds, self.model], self.model, **QUIET)
        self.model.change(self._show_model, self.model, self.dependent, **QUIET)
        changes = [self.model.input, *(c.input for c in self._controls)]
        self.media.connect(self.memory, self.name, self.kept, changes)
        results = [self.video, self.download, self.report_box, self.report]
        self.panel.connect(Run(self.kept, results, self._submit, self._shown, self._hidden))

    def _submit(self, visitor: Visitor, values: Sequence[Any]) -> Job:
        at = len(self.media.components)
        given, model = self.media.read(values[:at]), values[at]
        if not model:
            raise UsageError("No model fits this face and this driver.", "Change the kind of one of the two.")
        options = chosen(self.groups, model, values[at + 1 :])
        drive_by = given.driver_kind if given.driver_kind in describe(model).spec.drivers else "auto"
        return self.service.animate(visitor, model, given.source, given.driver, options, drive_by=drive_by)

    def _shown(self, made: Made) -> tuple[str, list[Any]]:
        video = gr.update(value=str(made.video), visible=True)
        text = json.dumps(made.report, indent=2, ensure_ascii=False, default=str)
        link = gr.update(value=status.download(made.video, "Download the video"), visible=True)
        return status.finished(made.report), [video, link, gr.update(visible=True), text]

    def _hidden(self) -> list[Any]:
        return [*(gr.update(visible=False) for _ in range(3)), gr.skip()]

    def _pick(self, source: str, driver: str, model: str) -> Any:
        fits = picker(SOURCES[source], DRIVERS[driver], self.service.settings)
        names = [name for _, name in fits]
        return gr.update(choices=fits, value=model if model in names else names[0] if names else None)

    def _show_model(self, model: str | None) -> list[Any]:
        return [_about(model), *(gr.update(visible=model in group.models) for group in self.groups)]


def _about(model: str | None) -> str:
    """A model in one sentence."""
    return f'<p class="zoo-about">{html.escape(describe(model).spec.summary)}</p>' if model else ""
