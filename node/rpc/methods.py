"""The methods of the RPC interface.

Names and shapes follow the Albatross JSON-RPC interface where the thing exists there; results are
`{data, metadata}` with the head that they were read at, and for what this node does not have with
the peer that has proven it and our block that it is proven by. `getStatus`, `awaitStatus`,
`getEvents`, `awaitEvents` and `shutdown` are ours, and so is `askPeers`: false for what is stored
here only.
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from node.accounts.transaction import Transaction
from node.rpc.block_json import peer_json
from node.rpc.events import MAX_SEQUENCE, MAX_WAIT_S, await_events, events
from node.rpc.json_rpc import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    REFUSED,
    UNAUTHORIZED,
    Call,
    CallError,
)
from node.rpc.lookups import (
    Found,
    account_by_address,
    block_by_hash,
    block_by_number,
    latest_block,
    transaction_by_hash,
)
from node.rpc.params import ParamReader
from node.rpc.view import NodeView
from protocols.errors import WireError

MAX_TRANSACTION_BYTES: Final = 512
"""A transaction with all its data takes 250."""


@dataclass(frozen=True, slots=True)
class Method:
    """One method: its parameters by position, and who carries it out."""

    params: tuple[str, ...]
    run: Callable[[NodeView, ParamReader], Awaitable[Any]]
    is_admin: bool = False
    """Needs the token from the node's data folder."""


async def call(view: NodeView, request: Call, *, is_admin: bool) -> Any:
    """Carry out one call.

    Args:
        view: The node.
        request: Method and parameters.
        is_admin: Whether the caller has shown the node's token.

    Raises:
        CallError: Unknown method, bad parameters, not authorized, or refused by the method.
    """
    method = METHODS.get(request.method)
    if method is None:
        raise CallError(METHOD_NOT_FOUND, f"unknown method {request.method[:64]!r}")
    if method.is_admin and not is_admin:
        raise CallError(UNAUTHORIZED, f"{request.method} needs the token from the data folder")
    data = await method.run(view, ParamReader(method.params, request.params))
    head = view.chain.head
    metadata: dict[str, Any] = {"blockNumber": head.number, "blockHash": head.hash.hex()}
    if isinstance(data, Found):
        return {"data": data.data, "metadata": metadata | data.metadata()}
    return {"data": data, "metadata": metadata}


async def _block_number(view: NodeView, _: ParamReader) -> int:
    return view.chain.head.number


async def _batch_number(view: NodeView, _: ParamReader) -> int:
    return view.chain.policy.batch_at(view.chain.head.number)


async def _epoch_number(view: NodeView, _: ParamReader) -> int:
    return view.chain.policy.epoch_at(view.chain.head.number)


async def _send_raw_transaction(view: NodeView, params: ParamReader) -> str:
    payload = params.blob("rawTransaction", maximum=MAX_TRANSACTION_BYTES)
    try:
        transaction = Transaction.decode(payload)
    except WireError as error:
        raise CallError(INVALID_PARAMS, f"rawTransaction: {error}") from error
    if (reason := await view.submit(transaction)) is not None:
        raise CallError(REFUSED, reason)
    return transaction.hash.hex()


async def _peer_count(view: NodeView, _: ParamReader) -> int:
    return len(view.peers)


async def _peer_list(view: NodeView, _: ParamReader) -> list[dict[str, Any]]:
    lists = view.peer_lists()
    return [peer_json(record, lists.get(peer)) for peer, record in sorted(view.peers.items())]


async def _peer_id(view: NodeView, _: ParamReader) -> str:
    return view.peer_id


async def _network_id(view: NodeView, _: ParamReader) -> int:
    return view.chain.network


async def _is_consensus_established(view: NodeView, _: ParamReader) -> bool:
    return view.is_established


async def _policy_constants(view: NodeView, _: ParamReader) -> dict[str, Any]:
    return {**asdict(view.chain.policy), "genesisHash": view.chain.genesis.hex()}


async def _status(view: NodeView, _: ParamReader) -> dict[str, Any]:
    return view.status()


async def _await_status(view: NodeView, params: ParamReader) -> dict[str, Any]:
    after = params.uint("after", maximum=MAX_SEQUENCE)
    return await view.status_after(after, params.number("timeout_s", maximum=MAX_WAIT_S))


async def _shutdown(view: NodeView, _: ParamReader) -> str:
    view.shut_down()
    return "stopping"


METHODS: Final = {
    "getBlockNumber": Method((), _block_number),
    "getBatchNumber": Method((), _batch_number),
    "getEpochNumber": Method((), _epoch_number),
    "getLatestBlock": Method(("includeBody",), latest_block),
    "getBlockByNumber": Method(("blockNumber", "includeBody", "askPeers"), block_by_number),
    "getBlockByHash": Method(("hash", "includeBody", "askPeers"), block_by_hash),
    "getTransactionByHash": Method(("hash",), transaction_by_hash),
    "getAccountByAddress": Method(("address",), account_by_address),
    "sendRawTransaction": Method(("rawTransaction",), _send_raw_transaction),
    "getPeerCount": Method((), _peer_count),
    "getPeerList": Method((), _peer_list),
    "getPeerId": Method((), _peer_id),
    "getNetworkId": Method((), _network_id),
    "isConsensusEstablished": Method((), _is_consensus_established),
    "getPolicyConstants": Method((), _policy_constants),
    "getStatus": Method((), _status),
    "awaitStatus": Method(("after", "timeout_s"), _await_status),
    "getEvents": Method(("since", "limit"), events),
    "awaitEvents": Method(("since", "timeout_s", "limit"), await_events),
    "shutdown": Method((), _shutdown, is_admin=True),
}
"""By name. Unauthenticated ones change nothing but the transactions that wait for a block."""
