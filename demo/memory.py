"""What the browser keeps, so that a reload changes nothing: settings and names of uploads, and who it is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from thg_zoo.demo.uploads import received
from thg_zoo.errors import ThgZooError


class Memory:
    """The page's state in the browser's own storage: {visitor, TAB: {layout, values}}.

    It is read back with suspicion: files only if they are this server's uploads, values only for the layout of
    components that they were stored for.
    """

    def __init__(self, root: Path) -> None:
        self.state = gr.BrowserState({}, storage_key="thg-zoo")
        self._root = root

    def script(self, tab: str, components: Sequence[Any]) -> str:
        """JavaScript that stores the current values without asking the server."""
        # What follows the inputs are the values of the outputs, which gradio passes too.
        part = f'layout: "{_layout(components)}", values: values.slice(0, {len(components)})'
        return (
            "(state, ...values) => { const all = state || {}; return "
            f'{{...all, "{tab}": {{...(all["{tab}"] || {{}}), {part}}}}}; }}'
        )

    def values(self, state: Any, tab: str, components: Sequence[Any]) -> list[Any] | None:
        """The stored values of a tab's components, files as paths of this server; None where there are none."""
        kept = _part(state, tab)
        values = kept.get("values")
        if kept.get("layout") != _layout(components) or not isinstance(values, list) or len(values) != len(components):
            return None
        return [self._restored(value) for value in values]

    def _restored(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        try:
            return str(received(value, self._root))
        except ThgZooError:
            return None


def visitor_of(state: Any) -> str:
    """The token of the visitor, empty for a new one."""
    return str(state.get("visitor") or "") if isinstance(state, dict) else ""


def _part(state: Any, tab: str) -> dict[str, Any]:
    part = state.get(tab) if isinstance(state, dict) else None
    return part if isinstance(part, dict) else {}


def _layout(components: Sequence[Any]) -> str:
    """Changes when a component is added, removed or renamed."""
    named = "\n".join(f"{type(c).__name__} {c.label} {c.elem_id}" for c in components)
    return hashlib.sha256(named.encode()).hexdigest()[:16]
