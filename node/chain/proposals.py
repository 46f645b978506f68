"""The content of a next block: header and body, the roots computed by executing.

Nothing is written. Whoever signs the content makes a block of it, which then goes through `push`
like anybody else's.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from node.accounts.ledger import Ledger, expected_rewards, pot_balance
from node.accounts.transaction import Transaction
from node.blocks.body import (
    EMPTY_MICRO_BODY,
    MAX_TRANSACTIONS,
    Body,
    EquivocationProof,
    MacroBody,
    MicroBody,
)
from node.blocks.header import Header, MacroHeader, MicroHeader
from node.blocks.slots import draw_validators
from node.blocks.verify import BatchRules, may_include
from node.chain.execution import Executed, execute, has_transaction, without_effect
from node.chain.punished import Absences
from node.chain.results import BlockError
from node.crypto.seeds import entropy
from node.policy import Policy
from node.storage.store import Reader
from protocols.types import Hash32

_LENGTH_PREFIX_BYTES: Final = 16
"""More than the three array headers of a body grow by, whatever is in the arrays."""


def choose_transactions(
    reader: Reader,
    wanted: Iterable[Transaction],
    parent: Header,
    rules: BatchRules,
    *,
    room_bytes: int,
) -> tuple[Transaction, ...]:
    """Take what fits above `parent`, in the given order: in time, new, affordable, small enough.

    Args:
        reader: The state after the parent.
        wanted: With good signatures: those are not checked again.
        parent: The block below.
        rules: Of the batch.
        room_bytes: For the encoded transactions.
    """
    ledger = Ledger(reader)
    number = parent.number + 1
    chosen: dict[Hash32, Transaction] = {}
    for transaction in wanted:
        size = len(transaction.encode())
        if size > room_bytes or len(chosen) == MAX_TRANSACTIONS or transaction.hash in chosen:
            continue
        if not may_include(transaction, number, rules.policy, rules.network):
            continue
        if has_transaction(reader, transaction.hash) or ledger.pay(transaction) is not None:
            continue
        chosen[transaction.hash] = transaction
        room_bytes -= size
    return tuple(chosen.values())


def transactions_room(policy: Policy, proofs: Sequence[EquivocationProof] = ()) -> int:
    """Return how many bytes of encoded transactions fit into a micro body beside proofs."""
    without = MicroBody(equivocation_proofs=tuple(proofs))
    return policy.max_body_bytes - len(without.encoded) - _LENGTH_PREFIX_BYTES


def micro_content(
    reader: Reader,
    parent: Header,
    rules: BatchRules,
    *,
    seed: bytes,
    timestamp: int,
    transactions: Iterable[Transaction],
    equivocation_proofs: Sequence[EquivocationProof] = (),
    extra_data: bytes = b"",
) -> tuple[MicroHeader, MicroBody]:
    """Make a micro block's content. A timestamp before the parent's becomes the parent's."""
    room_bytes = transactions_room(rules.policy, equivocation_proofs)
    chosen = choose_transactions(reader, transactions, parent, rules, room_bytes=room_bytes)
    body = MicroBody(tuple(equivocation_proofs), chosen)
    executed = _executed(execute(reader, body, parent, rules))
    return micro_header(parent, body, executed, seed, timestamp, extra_data), body


def micro_header(
    parent: Header,
    body: MicroBody,
    executed: Executed,
    seed: bytes,
    timestamp: int,
    extra_data: bytes = b"",
) -> MicroHeader:
    """Make the header over a body that has been executed above its parent."""
    return MicroHeader(
        **_common(parent, body, executed),
        seed=seed,
        timestamp=max(timestamp, parent.timestamp),
        extra_data=extra_data,
    )


def skip_content(parent: Header, rules: BatchRules) -> tuple[MicroHeader, MicroBody]:
    """Make the one skip block that can stand above a parent. It changes no state."""
    header = MicroHeader(
        **_common(parent, EMPTY_MICRO_BODY, without_effect(parent, rules.policy)),
        seed=parent.seed,
        timestamp=parent.timestamp + rules.policy.producer_timeout_ms,
        extra_data=b"",
    )
    return header, EMPTY_MICRO_BODY


def macro_content(
    reader: Reader,
    parent: Header,
    rules: BatchRules,
    absences: Absences,
    *,
    round_: int,
    seed: bytes,
    timestamp: int,
    extra_data: bytes = b"",
) -> tuple[MacroHeader, MacroBody]:
    """Make a macro block's content. A timestamp before the parent's becomes the parent's."""
    number = parent.number + 1
    unrewarded = absences.unrewarded(rules)
    pot = pot_balance(reader)
    body = MacroBody(expected_rewards(pot, rules.policy, rules.validators, unrewarded))
    executed = _executed(execute(reader, body, parent, rules, unrewarded=unrewarded))
    validators = None
    if rules.policy.is_election(number):
        validators = draw_validators(rules.candidates, entropy(seed), rules.policy.slots).members
    header = MacroHeader(
        **_common(parent, body, executed),
        seed=seed,
        timestamp=max(timestamp, parent.timestamp),
        extra_data=extra_data,
        round=round_,
        parent_election=rules.election,
        validators=validators,
        punished=absences.punished_at(number, rules),
    )
    return header, body


def _common(parent: Header, body: Body, executed: Executed) -> dict[str, Any]:
    return {
        "network": parent.network,
        "version": parent.version,
        "number": parent.number + 1,
        "parent_hash": parent.hash,
        "state_root": executed.state_root,
        "body_root": body.root,
        "diff_root": executed.diff_root,
        "history_root": executed.history_root,
    }


def _executed(result: Executed | BlockError) -> Executed:
    assert isinstance(result, Executed), f"content of our own that cannot be executed: {result}"
    return result
