"""Checking the proof that transactions are in history, with nothing but a macro header."""

from collections.abc import Collection
from itertools import pairwise

from node.accounts.transaction import Transaction
from node.blocks.header import MacroHeader
from node.chain.history_proof import verify_leaves
from protocols.errors import WireError
from protocols.messages.transactions_proof import TransactionsProofResponse
from protocols.types import Hash32


def verify_transactions_proof(
    response: TransactionsProofResponse, wanted: Collection[Hash32], verifier: MacroHeader
) -> dict[Hash32, Transaction] | None:
    """Return the proven transactions by hash, or None if anything is wrong.

    Args:
        response: Of a peer.
        wanted: The hashes that were asked for.
        verifier: A macro block that is known to be final. Whoever let the peer choose it looks
            `response.verifier` up first.
    """
    if response.verifier != verifier.hash:
        return None
    indices = [each.index for each in response.transactions]
    if any(low >= high for low, high in pairwise(indices)):
        return None
    leaves = {each.index: each.transaction for each in response.transactions}
    if verify_leaves(leaves, response.leaf_count, response.proof) != verifier.history_root:
        return None
    try:
        transactions = [Transaction.decode(each) for each in leaves.values()]
    except WireError:
        return None
    found = {transaction.hash: transaction for transaction in transactions}
    return found if found.keys() == set(wanted) else None
