"""Asking the nodes of a network that take turns in answering."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import cycle
from typing import Final, TypeVar

from node.errors import UnreachableError
from node.rpc.client import RpcClient, RpcError

TIMEOUT_S: Final = 5.0
"""For one answer. A node that needs longer is left out this time."""

AnswerT = TypeVar("AnswerT")


class Nodes:
    """Spreads questions over the nodes that answer."""

    def __init__(self, targets: Sequence[str]) -> None:
        """Connect to nobody yet.

        Args:
            targets: `host:port` of each node's JSON-RPC listener.
        """
        self._clients = [RpcClient(target, timeout_s=TIMEOUT_S) for target in targets]
        self._turn = cycle(self._clients)

    def ask(self, question: Callable[[RpcClient], AnswerT]) -> AnswerT | None:
        """Ask the next node, and if that does not answer the one after it. None if nobody does."""
        for client in self._each_once():
            with suppress(UnreachableError, RpcError):
                return question(client)
        return None

    def height(self) -> int | None:
        """Return the head height of the next node that answers, or None."""
        return self.ask(lambda client: int(client.call("getBlockNumber")["data"]))

    def _each_once(self) -> Iterator[RpcClient]:
        """Return each client once, from the next in turn on."""
        return (next(self._turn) for _ in self._clients)
