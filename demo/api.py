"""The named endpoints: /animate, /compare, /prepare and /models. docs/api.md is their manual."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import gradio as gr

from thg_zoo.demo.comparing import Compared
from thg_zoo.demo.controls import offered
from thg_zoo.demo.jobs import Job, Snapshot
from thg_zoo.demo.service import Service
from thg_zoo.demo.shelf import ready
from thg_zoo.demo.tasks import Made
from thg_zoo.errors import Cancelled, ThgZooError
from thg_zoo.zoo import ModelDescription, list_models


def endpoints(service: Service) -> None:
    """Add the endpoints to the current page. Their components exist for their types alone and are not shown."""
    api = Api(service)
    with gr.Column(visible=False):
        source, driver = gr.File(label="source"), gr.File(label="driver")
        model = gr.Textbox("warp", label="model")
        options = gr.JSON({}, label="options")
        models = gr.JSON(["warp"], label="models")
        each = gr.JSON({}, label="options of each model")
        measure = gr.Checkbox(False, label="measure")
        drive_by = gr.Textbox("auto", label="drive_by")
        seed = gr.Number(0, precision=0, label="seed")
        portrait = gr.Textbox("", label="portrait")
        video, report = gr.File(label="video"), gr.JSON(label="report")
        calls = gr.Button("API")
    # Values arrive as they were sent: nothing is opened or fetched before the core's checks.
    common: dict[str, Any] = {"preprocess": False, "concurrency_limit": None}
    calls.click(
        api.animate,
        [source, driver, model, options, drive_by, seed, portrait],
        [video, report],
        api_name="animate",
        **common,
    )
    calls.click(
        api.compare,
        [source, driver, models, each, measure, seed],
        [video, report],
        api_name="compare",
        **common,
    )
    calls.click(api.prepare, [source, model, options, seed], report, api_name="prepare", **common)
    calls.click(api.models, None, report, api_name="models", **common)


class Api:
    """The endpoints' functions. Names and defaults of their parameters are part of the interface."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def animate(
        self,
        request: gr.Request,
        source: Any = None,
        driver: Any = None,
        model: str = "warp",
        options: dict[str, Any] | None = None,
        drive_by: str = "auto",
        seed: int = 0,
        portrait: str = "",
    ) -> AsyncIterator[tuple[str | None, dict[str, Any]]]:
        """Animate a face with speech or with a video. Yields progress, and at last the video and its report."""
        with _refusals():
            visitor = self._service.visitors.of(request.session_hash)
            job = self._service.animate(
                visitor,
                model,
                source,
                driver,
                options or {},
                drive_by=drive_by,
                seed=seed,
                portrait=str(portrait or ""),
            )
        async for now in self._followed(job):
            yield None, now
        made: Made = job.result
        yield str(made.video), made.report

    async def compare(
        self,
        request: gr.Request,
        source: Any = None,
        driver: Any = None,
        models: list[str] | None = None,
        options: dict[str, dict[str, Any]] | None = None,
        measure: bool = False,
        seed: int = 0,
    ) -> AsyncIterator[tuple[str | None, dict[str, Any]]]:
        """Run several models on the same inputs. Yields progress, and at last the grid video and a row per model."""
        with _refusals():
            visitor = self._service.visitors.of(request.session_hash)
            job = self._service.compare(visitor, models or [], source, driver, options, measure=measure, seed=seed)
        async for now in self._followed(job):
            yield None, now
        made: Compared = job.result
        yield str(made.grid), {"rows": made.rows}

    async def prepare(
        self,
        request: gr.Request,
        source: Any = None,
        model: str = "warp",
        options: dict[str, Any] | None = None,
        seed: int = 0,
    ) -> AsyncIterator[dict[str, Any]]:
        """Do once what depends on the face alone. Yields progress, and at last the portrait's name for /animate."""
        with _refusals():
            visitor = self._service.visitors.of(request.session_hash)
            job = self._service.prepare(visitor, model, source, options or {}, seed)
        async for now in self._followed(job):
            yield now
        yield job.result

    def models(self) -> list[dict[str, Any]]:
        """All models: what they take, their options, their licences, and whether they can be used now."""
        return [self._card(model) for model in list_models()]

    async def _followed(self, job: Job) -> AsyncIterator[dict[str, Any]]:
        """Progress until the job is done; raises its error. A client that goes away takes its job with it."""
        try:
            async for now in self._service.watch(job):
                if not job.finished:
                    yield _progress(now)
        finally:
            job.cancel()
        if job.state != "done":
            with _refusals():
                raise job.error or Cancelled("The run was cancelled.", "Nothing was written.")

    def _card(self, model: ModelDescription) -> dict[str, Any]:
        spec = model.spec
        return {
            "name": model.name,
            "title": model.variant.title,
            "summary": spec.summary,
            "sources": spec.sources,
            "drivers": spec.drivers,
            "commercial": model.commercial,
            "licence": spec.licence.name,
            "download_bytes": model.variant.size if model.variant.files else 0,
            "ready": ready(model, self._service.settings),
            "options": [
                {
                    "name": info.name,
                    "type": info.type_name,
                    "default": info.default,
                    "accepted": info.range_text,
                    "help": info.help,
                }
                for info in offered(model)
            ],
        }


def _progress(now: Snapshot) -> dict[str, Any]:
    return {
        "state": now.state,
        "ahead": now.ahead,
        "stage": now.stage,
        "done": now.done,
        "total": now.total,
        "per_second": now.rate and round(now.rate, 2),
        "seconds_left": now.left and round(now.left, 1),
    }


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Errors as gradio passes them to clients: the same line as on the command line."""
    try:
        yield
    except ThgZooError as error:
        raise gr.Error(str(error), print_exception=False) from error
