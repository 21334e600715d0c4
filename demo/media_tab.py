"""What Animate and Compare have in common: inputs on one side; models, a button and results on the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import gradio as gr

from thg_zoo.demo.inputs import MediaInputs
from thg_zoo.demo.memory import Memory
from thg_zoo.demo.run_panel import RunPanel
from thg_zoo.demo.service import Service


class MediaTab(ABC):
    """A tab of that layout. `memory` is what the browser keeps for the next load."""

    name: ClassVar[str]
    button: ClassVar[str]

    def __init__(self, service: Service, memory: Memory) -> None:
        self.service = service
        self.memory = memory
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=320):
                self.media = MediaInputs(self.name, service.examples)
            with gr.Column(scale=6, min_width=320):
                with gr.Column(elem_classes="zoo-step"):
                    self._build_models()
                self.panel = RunPanel(service, self.name, self.button)
                self._build_results()
        self._connect()

    @property
    @abstractmethod
    def kept(self) -> list[Any]:
        """The components whose values survive a reload, the media's first."""

    @property
    def dependent(self) -> list[Any]:
        """The components that follow those."""
        return []

    @abstractmethod
    def restore(self, state: Any) -> list[Any]:
        """Updates of `kept` and `dependent`, as the browser last knew them."""

    @abstractmethod
    def _build_models(self) -> None:
        """Add the choice of models."""

    @abstractmethod
    def _build_results(self) -> None:
        """Add what shows a finished run."""

    @abstractmethod
    def _connect(self) -> None:
        """Say what happens when."""
