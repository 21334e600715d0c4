"""The page: a header, a tab per task, and the named endpoints behind it."""

from __future__ import annotations

from typing import Any

import gradio as gr

from thg_zoo.demo import status, tab_about
from thg_zoo.demo.api import endpoints
from thg_zoo.demo.gradio_versions import FOLLOWING, QUIET, look
from thg_zoo.demo.media_tab import MediaTab
from thg_zoo.demo.memory import Memory, visitor_of
from thg_zoo.demo.service import Service
from thg_zoo.demo.tab_animate import AnimateTab
from thg_zoo.demo.tab_compare import CompareTab
from thg_zoo.demo.tab_edit import EditTab
from thg_zoo.demo.tab_models import ModelsTab
from thg_zoo.demo.theme import HEAD, css, theme
from thg_zoo.zoo import list_models

_HERO = (
    '<header class="zoo-hero"><h1>thg<b>·</b>zoo</h1><p>Make a portrait speak, with any of the published models.</p>'
    "</header>"
)


def build(service: Service) -> tuple[gr.Blocks, dict[str, Any]]:
    """The page, and the arguments with which its version of gradio wants to launch it."""
    in_blocks, in_launch = look(theme(), css(), HEAD)
    with gr.Blocks(title="thg-zoo", analytics_enabled=False, **in_blocks) as page:
        memory = Memory(service.root)
        gr.HTML(_HERO)
        if service.settings.weights == "random":
            gr.HTML(status.hint("The weights are random: what models make shows nothing.", "A dry run"))
        with gr.Tabs():
            with gr.Tab("Animate", id="animate"):
                animate = AnimateTab(service, memory)
            with gr.Tab("Compare", id="compare"):
                compare = CompareTab(service, memory)
            editable = list_models(driver="edit")
            if editable:
                with gr.Tab("Edit", id="edit"):
                    EditTab(service, editable)
            with gr.Tab("Models", id="models") as models_tab:
                models = ModelsTab(service)
            with gr.Tab("About", id="about"):
                tab_about.build(service.settings)
        endpoints(service)
        models_tab.select(models.refresh, None, models.shown, **QUIET)
        _connect(page, service, memory, [animate, compare])
    page.queue(max_size=None, default_concurrency_limit=None)
    return page, in_launch


def _connect(page: gr.Blocks, service: Service, memory: Memory, tabs: list[MediaTab]) -> None:
    """What happens when the page is loaded and left."""

    def enter(state: Any, request: gr.Request) -> list[Any]:
        visitor = service.visitors.enter(visitor_of(state), str(request.session_hash))
        known = state if isinstance(state, dict) else {}
        restored = [update for tab in tabs for update in tab.restore(known)]
        return [{**known, "visitor": visitor.token}, *restored]

    def leave(request: gr.Request) -> None:
        service.visitors.leave(str(request.session_hash))

    components = [c for tab in tabs for c in (*tab.kept, *tab.dependent)]
    entered = page.load(enter, memory.state, [memory.state, *components], **FOLLOWING)
    for tab in tabs:
        entered.then(
            tab.panel.follow,
            None,
            tab.panel.components,
            **FOLLOWING,
        )
    page.unload(leave)
