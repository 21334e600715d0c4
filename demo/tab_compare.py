"""The Compare tab: one face and one driver through several models, as a grid and a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from thg_zoo.demo import status
from thg_zoo.demo.comparing import Compared
from thg_zoo.demo.gradio_versions import DOWNLOAD, QUIET
from thg_zoo.demo.inputs import DRIVERS, SOURCES, heading, picker
from thg_zoo.demo.jobs import Job
from thg_zoo.demo.media_tab import MediaTab
from thg_zoo.demo.run_panel import Run
from thg_zoo.demo.shelf import on_machine
from thg_zoo.demo.visitors import Visitor
from thg_zoo.zoo import describe


class CompareTab(MediaTab):
    """Its components and what they do."""

    name = "compare"
    button = "Compare"

    @property
    def kept(self) -> list[Any]:
        return [*self.media.components, self.models, self.measure]

    def restore(self, state: Any) -> list[Any]:
        values = self.memory.values(state, self.name, self.kept)
        if values is None:
            return [gr.skip() for _ in self.kept]
        at = len(self.media.components)
        given = self.media.read(values[:at])
        models = self._update(given.source_kind, given.driver_kind, values[at] or [])
        return [*self.media.restored(values[:at]), models, gr.update(value=bool(values[at + 1]))]

    def _build_models(self) -> None:
        heading(3, "The models")
        fits, here = self._choices("image", "audio")
        self.models = gr.CheckboxGroup(
            fits, value=here, label="Models", show_label=False, container=False, elem_id="compare-models"
        )
        self.measure = gr.Checkbox(
            False, label="Measure", info="Also compute the metrics that need no true video; takes longer."
        )

    def _build_results(self) -> None:
        self.grid = gr.Video(
            show_label=False, interactive=False, autoplay=True, visible=False, elem_id="compare-grid", **DOWNLOAD
        )
        self.table = gr.HTML(visible=False, elem_id="compare-table", elem_classes="zoo-plain")
        self.report = gr.HTML(visible=False, elem_id="compare-report", elem_classes="zoo-plain")

    def _connect(self) -> None:
        kinds = [self.media.source_kind, self.media.driver_kind]
        gr.on(
            [k.change for k in kinds],
            self._pick,
            [*kinds, self.models],
            self.models,
            **QUIET,
        )
        self.media.connect(self.memory, self.name, self.kept, [self.models.input, self.measure.input])
        results = [self.grid, self.table, self.report]
        self.panel.connect(Run(self.kept, results, self._submit, self._shown, self._hidden))

    def _submit(self, visitor: Visitor, values: Sequence[Any]) -> Job:
        at = len(self.media.components)
        given, models, measure = self.media.read(values[:at]), values[at] or [], bool(values[at + 1])
        return self.service.compare(visitor, models, given.source, given.driver, measure=measure)

    def _shown(self, made: Compared) -> tuple[str, list[Any]]:
        return status.compared(made.rows), [
            gr.update(value=str(made.grid), visible=True),
            gr.update(value=status.table(made.rows), visible=True),
            gr.update(value=status.download(made.report, "Download the report"), visible=True),
        ]

    def _hidden(self) -> list[Any]:
        return [gr.update(visible=False) for _ in range(3)]

    def _pick(self, source: str, driver: str, models: list[str]) -> Any:
        return self._update(SOURCES[source], DRIVERS[driver], models)

    def _update(self, source_kind: str, driver_kind: str, models: list[str]) -> Any:
        fits, here = self._choices(source_kind, driver_kind)
        names = [name for _, name in fits]
        return gr.update(choices=fits, value=[m for m in models if m in names] or here)

    def _choices(self, source_kind: str, driver_kind: str) -> tuple[list[tuple[str, str]], list[str]]:
        """Labels and names of the models that fit, and the first of those that are here."""
        fits = picker(source_kind, driver_kind, self.service.settings)
        return fits, [name for _, name in fits if on_machine(describe(name), self.service.settings)][:3]
