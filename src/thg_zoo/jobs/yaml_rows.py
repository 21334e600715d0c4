"""A YAML list, item by item with line numbers, in bounded memory: PyYAML alone would build the whole list first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import yaml
from yaml import AliasEvent, MappingEndEvent, MappingStartEvent, ScalarEvent, SequenceEndEvent, SequenceStartEvent
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def yaml_rows(file: IO[bytes]) -> Iterator[tuple[int, Any]]:
    """(line, value) for each item of the list that `file` holds; a `str` says what is wrong from that line on."""
    events = yaml.parse(file, Loader=_LOADER)
    try:
        first = next((event for event in events if isinstance(event, (*_NODES, yaml.StreamEndEvent))), None)
        if not isinstance(first, SequenceStartEvent):
            yield 1, "It is not a list of jobs: begin every job with `- source: ...`."
            return
        builder = _Builder(events)
        for event in events:
            if isinstance(event, SequenceEndEvent):
                break
            line = _line(event)
            try:
                value = builder.value(event)
            except ValueError as error:  # 2024-13-45 looks like a date
                yield line, f"It holds a value that cannot be read: {error}."
                continue
            yield line, value if not isinstance(value, str) else [value]
        another = next((event for event in events if isinstance(event, yaml.DocumentStartEvent)), None)
        if another is not None:
            yield _line(another), "A second document begins here: put all jobs into one list."
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        yield mark.line + 1 if mark else 1, f"It is not YAML: {problem}."


_NODES = (ScalarEvent, SequenceStartEvent, MappingStartEvent, AliasEvent)


def _line(event: yaml.Event) -> int:
    mark: Any = event.start_mark
    return int(mark.line) + 1


class _Builder(SafeConstructor, Resolver):
    """Values from events. Anchors are kept, so that later items can refer to them."""

    def __init__(self, events: Iterator[Any]) -> None:
        SafeConstructor.__init__(self)
        Resolver.__init__(self)
        self._events = events
        self._anchors: dict[str, yaml.Node] = {}

    def value(self, event: Any) -> Any:
        """The value that begins with `event`."""
        return self.construct_document(self._node(event))

    def _node(self, event: Any) -> yaml.Node:
        mark: Any = event.start_mark
        if isinstance(event, AliasEvent):
            if event.anchor not in self._anchors:
                raise yaml.composer.ComposerError(None, None, f"unknown alias {event.anchor!r}", mark)
            return self._anchors[event.anchor]
        node = self._new_node(event)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _new_node(self, event: Any) -> yaml.Node:
        marks = event.start_mark, event.end_mark
        if isinstance(event, ScalarEvent):
            tag = event.tag or self.resolve(yaml.ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call]
            return yaml.ScalarNode(tag, event.value, *marks)
        if isinstance(event, SequenceStartEvent):
            items = [self._node(inner) for inner in iter(self._next, None)]
            return yaml.SequenceNode(event.tag or self.DEFAULT_SEQUENCE_TAG, items, *marks)
        pairs = [(self._node(key), self._node(next(self._events))) for key in iter(self._next, None)]
        return yaml.MappingNode(event.tag or self.DEFAULT_MAPPING_TAG, pairs, *marks)

    def _next(self) -> Any:
        """The next event, None at the end of a list or mapping."""
        event = next(self._events)
        return None if isinstance(event, (SequenceEndEvent, MappingEndEvent)) else event
