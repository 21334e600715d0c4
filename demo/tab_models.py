"""The Models tab: a card per model with its terms, and fetching of weights where the operator permits it."""

from __future__ import annotations

import html
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from thg_zoo.demo import status
from thg_zoo.demo.gradio_versions import FOLLOWING
from thg_zoo.demo.jobs import Job
from thg_zoo.demo.service import Service
from thg_zoo.demo.shelf import fetch_weights, on_machine, open_terms, ready, size_text, title
from thg_zoo.errors import ThgZooError
from thg_zoo.spec import Licence
from thg_zoo.weights import licences
from thg_zoo.zoo import ModelDescription, list_models


@dataclass(frozen=True)
class _Card:
    model: ModelDescription
    text: Any
    state: Any
    button: Any


class ModelsTab:
    """The cards and what their buttons do."""

    def __init__(self, service: Service) -> None:
        self.service = service
        gr.HTML(f'<p class="zoo-lead">{self._lead()}</p>', elem_classes="zoo-plain")
        self.cards = []
        with gr.Column(elem_classes="zoo-models"):
            for model in sorted(list_models(), key=lambda m: not ready(m, service.settings)):
                with gr.Column(elem_classes="zoo-step"):
                    self.cards.append(
                        _Card(
                            model,
                            gr.HTML(self._text(model)),
                            gr.HTML(visible=False, elem_classes="zoo-plain"),
                            gr.Button(
                                self._action(model) or "",
                                visible=bool(self._action(model)),
                                size="sm",
                                elem_id=f"fetch-{model.name}",
                            ),
                        )
                    )
        for card in self.cards:
            card.button.click(
                self.fetching(card.model),
                None,
                [card.text, card.state, card.button],
                **FOLLOWING,
            )

    @property
    def shown(self) -> list[Any]:
        """The components that follow what is on the machine."""
        return [component for card in self.cards for component in (card.text, card.button)]

    def refresh(self) -> list[Any]:
        """Updates of `shown`: another visitor, or the command line, may have fetched or removed weights."""
        updates: list[Any] = []
        for card in self.cards:
            action = self._action(card.model)
            updates += [self._text(card.model), gr.update(value=action or "", visible=bool(action))]
        return updates

    def fetching(self, model: ModelDescription) -> Any:
        """What the button of a model does: an event that yields the card's text, state and button."""

        async def fetch() -> AsyncIterator[list[Any]]:
            try:
                job = self._submit(model)
            except ThgZooError as error:
                yield [gr.skip(), gr.update(value=status.failed(error), visible=True), gr.skip()]
                return
            async for now in self.service.watch(job, self.service.downloads):
                card = status.transfer(now)
                yield [gr.skip(), gr.update(value=card, visible=True), gr.update(interactive=False)]
            yield [self._text(model), self._outcome(job), self._button_update(model)]

        return fetch

    def _submit(self, model: ModelDescription) -> Job:
        """Queue the transfer. Pressing a button that says so accepts the terms that the card shows."""
        if not self.service.settings.manage:
            raise ThgZooError("Weights are fetched by the operator of this page.", "Choose a model that is ready.")
        return self.service.downloads.submit(
            Job("", "fetch"), lambda job, _: fetch_weights(model, job.advance, job.cancelled)
        )

    def _outcome(self, job: Job) -> Any:
        if job.error:
            return gr.update(value=status.failed(job.error), visible=True)
        return gr.update(visible=False)

    def _button_update(self, model: ModelDescription) -> Any:
        action = self._action(model)
        return gr.update(value=action or "", visible=bool(action), interactive=True)

    def _action(self, model: ModelDescription) -> str | None:
        """What the button says, None where there is nothing to do, or nobody may."""
        settings = self.service.settings
        if not settings.manage or ready(model, settings):
            return None
        accept = "Accept the terms" if open_terms(model) else ""
        words = " and ".join(filter(None, [accept, "" if on_machine(model, settings) else _fetch_words(model)]))
        return words[0].upper() + words[1:]

    def _lead(self) -> str:
        if self.service.settings.manage:
            return "Weights are fetched once, proved by their published hashes, and kept on this machine."
        return "The operator of this page decides which models are here."

    def _text(self, model: ModelDescription) -> str:
        spec = model.spec
        chips = [
            ("zoo-good", "ready") if ready(model, self.service.settings) else ("", "not here yet"),
            ("", size_text(model)),
            ("", f"driven by {', '.join(spec.drivers)}"),
            ("", "commercial use") if model.commercial else ("zoo-care", "no commercial use"),
        ]
        if on_machine(model, self.service.settings) and open_terms(model):
            chips[0] = ("zoo-care", "terms not accepted")
        # Who is asked to accept terms has them before their eyes.
        folded = " open" if self.service.settings.manage and open_terms(model) else ""
        papers = "".join(_link(f"{p.title}, {p.venue} {p.year or ''}", p.url) for p in spec.papers)
        name = f"{html.escape(title(model))}<code>{html.escape(model.name)}</code>"
        return (
            f'<article class="zoo-card"><h3>{name}</h3>'
            f'<div class="zoo-chips">{"".join(_chip(*chip) for chip in chips)}</div><p>{html.escape(spec.summary)}</p>'
            f"<details{folded}><summary>Terms and papers</summary>{_terms(model)}{papers}</details></article>"
        )


def _fetch_words(model: ModelDescription) -> str:
    if any(all(source.kind == "manual" for source in file.sources) for file in model.variant.files):
        return "see where to get it"
    return f"fetch {size_text(model)}" if model.variant.size else "fetch"


def _terms(model: ModelDescription) -> str:
    """The terms of the model's code and weights, each once."""
    every: dict[str, Licence] = {model.spec.licence.key: model.spec.licence}
    every |= {file.licence.key: file.licence for file in model.variant.files}
    return "".join(f"<p>{html.escape(licences.terms(licence))}</p>" for licence in every.values())


def _link(text: str, url: str) -> str:
    return f'<p><a href="{html.escape(url)}" target="_blank" rel="noreferrer noopener">{html.escape(text)}</a></p>'


def _chip(kind: str, text: str) -> str:
    return f'<span class="{kind}">{html.escape(text)}</span>'
