"""The newest events of a node, for those who watch or plot them."""

from typing import Any, Final

import trio

from node.rpc.params import ParamReader
from node.rpc.view import NodeView

MAX_SEQUENCE: Final = 2**53
MAX_EVENTS_PER_ANSWER: Final = 1000
"""Some 300 KB, written in ten milliseconds, in which the node does nothing else."""

MAX_WAIT_S: Final = 60.0
"""Longest that a question for news is held; whoever wants to wait longer asks again."""

LOOK_INTERVAL_S: Final = 0.2
"""Between two looks for news. A busy node has hundreds of events in this time, and whoever follows
them gets them in one answer."""


async def events(view: NodeView, params: ParamReader) -> dict[str, Any]:
    """Return the events after a number, and the numbers of the oldest and newest that are there.

    Whoever asked for one below the oldest has missed those between; whoever has seen one above the
    newest has seen an earlier run of the node.
    """
    return _page(view, params)


async def await_events(view: NodeView, params: ParamReader) -> dict[str, Any]:
    """Return the same once the newest event is not the one given, or when the time is up."""
    since = params.uint("since", maximum=MAX_SEQUENCE)
    with trio.move_on_after(params.number("timeout_s", maximum=MAX_WAIT_S)):
        while view.events.newest == since:  # noqa: ASYNC110 - threads add to it, and bursts count
            await trio.sleep(LOOK_INTERVAL_S)
    return _page(view, params)


def _page(view: NodeView, params: ParamReader) -> dict[str, Any]:
    since = params.uint("since", maximum=MAX_SEQUENCE, default=0)
    limit = params.uint("limit", maximum=MAX_EVENTS_PER_ANSWER, default=MAX_EVENTS_PER_ANSWER)
    record = view.events
    found = record.after(since, limit)
    return {
        "oldest": record.oldest,
        "newest": record.newest,
        "events": [event.to_json(view.peer_id) for event in found],
    }
