"""The part that every tab with runs has: a button, a way to cancel, and a card that tells how the run stands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from thg_zoo.demo import status
from thg_zoo.demo.gradio_versions import FOLLOWING, QUIET
from thg_zoo.demo.jobs import Job
from thg_zoo.demo.service import Service
from thg_zoo.demo.visitors import Visitor
from thg_zoo.errors import ThgZooError


@dataclass(frozen=True)
class Run:
    """What a tab does with its values.

    kept: the components whose values survive a reload, and are passed to `submit`; results: the components that
    show what was made; shown: updates of `results` and the card for a result, hidden: those while there is none.
    """

    kept: Sequence[Any]
    results: Sequence[Any]
    submit: Callable[[Visitor, Sequence[Any]], Job]
    shown: Callable[[Any], tuple[str, list[Any]]]
    hidden: Callable[[], list[Any]]


class RunPanel:
    """The components of the tab `name`; `connect` gives them their work."""

    def __init__(self, service: Service, name: str, label: str) -> None:
        self._service = service
        self._name = name
        self._label = label
        with gr.Row():
            self.run = gr.Button(label, variant="primary", size="lg", elem_id=f"{name}-run")
            self.cancel = gr.Button(
                "Cancel", variant="stop", size="lg", visible=False, min_width=90, elem_id=f"{name}-cancel"
            )
        self.status = gr.HTML(status.welcome(), elem_id=f"{name}-status", elem_classes="zoo-plain")

    def connect(self, run: Run) -> None:
        """Start, cancel, and remember what the tab does."""
        self._run = run
        self.run.click(
            self._start,
            list(run.kept),
            self.components,
            **FOLLOWING,
        )
        self.cancel.click(self._cancel, None, self.cancel, **QUIET)

    @property
    def components(self) -> list[Any]:
        """All that changes while a run goes on."""
        return [self.status, self.run, self.cancel, *self._run.results]

    async def follow(self, request: gr.Request) -> AsyncIterator[list[Any]]:
        """Show the visitor's latest run, if there is one: the page was loaded again."""
        job = self._service.visitors.of(request.session_hash).latest(self._name)
        if job is None:
            yield [gr.skip() for _ in self.components]
            return
        async for shown in self._show(job):
            yield shown

    async def _start(self, request: gr.Request, *values: Any) -> AsyncIterator[list[Any]]:
        try:
            job = self._run.submit(self._service.visitors.of(request.session_hash), values)
        except ThgZooError as error:
            yield self._ended(status.failed(error))
            return
        async for shown in self._show(job):
            yield shown

    async def _show(self, job: Job) -> AsyncIterator[list[Any]]:
        async for now in self._service.watch(job):
            if not job.finished:
                yield self._going(status.progress(now))
        if job.state == "done":
            card, results = self._run.shown(job.result)
            yield self._ended(card, results)
        else:
            yield self._ended(status.failed(job.error) if job.error else status.cancelled())

    def _going(self, card: str) -> list[Any]:
        run, cancel = gr.update(interactive=False, value="Working …"), gr.update(visible=True, interactive=True)
        return [card, run, cancel, *self._run.hidden()]

    def _ended(self, card: str, results: list[Any] | None = None) -> list[Any]:
        run, cancel = gr.update(interactive=True, value=self._label), gr.update(visible=False)
        return [card, run, cancel, *(self._run.hidden() if results is None else results)]

    def _cancel(self, request: gr.Request) -> Any:
        job = self._service.visitors.of(request.session_hash).latest(self._name)
        if job:
            job.cancel()
        return gr.update(interactive=False)
