"""A chain of states that real proofs are served from, and the peers that serve them."""

from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from node.accounts.diff import Diff
from node.accounts.range_proof import prove_range
from node.accounts.stored import subtree_bytes
from node.blocks.header import Header
from node.storage.memory import MemoryStore
from node.sync.state.state_events import (
    AskChanges,
    AskRange,
    AskSubtrees,
    ChangesArrived,
    RangeArrived,
    StateFailed,
    StateInput,
    StateRefused,
    StateUnavailable,
    SubtreesArrived,
)
from node.sync.state.target import SyncTarget
from protocols.messages.state_range import ProvenRange
from protocols.messages.trie_diffs import MAX_DIFFS
from protocols.status import ResponseStatus
from protocols.types import Address, Height, PeerId
from tests.build.accounts import fill
from tests.build.blocks import micro_header
from tests.build.diffs import diff_between

Ask: TypeAlias = AskRange | AskChanges | AskSubtrees
State: TypeAlias = dict[Address, bytes]

MAX_BYTES = 10**6


class Source:
    """The chain: the state after each of its blocks."""

    def __init__(self, state: State, draw: Random) -> None:
        self.draw = draw
        self.states: list[State] = []
        self.changes: list[bytes] = []
        self.headers: list[Header] = []
        self.stores: list[MemoryStore] = []
        self._add(state, Diff())

    @property
    def head(self) -> Height:
        return len(self.states) - 1

    def target(self, height: Height | None = None) -> SyncTarget:
        """Return a block as a target; the head unless said otherwise."""
        return SyncTarget.of(self.headers[self.head if height is None else height])

    def grow(self, changes: dict[Address, bytes | None]) -> None:
        """Add a block."""
        with self.stores[-1].read() as reader:
            diff = diff_between(reader, changes)
        after = {**self.states[-1], **diff.changes}
        self._add({key: value for key, value in after.items() if value is not None}, diff)

    def grow_randomly(self, count: int) -> None:
        """Add a block that changes, deletes and creates accounts."""
        known = sorted(self.states[-1])
        changes: dict[Address, bytes | None] = {}
        for _ in range(count):
            kind = self.draw.random()
            if known and kind < 0.8:
                changes[self.draw.choice(known)] = self.draw.randbytes(3) if kind < 0.6 else None
            else:
                changes[Address(self.draw.randbytes(20))] = self.draw.randbytes(2)
        self.grow(changes)

    def _add(self, state: State, diff: Diff) -> None:
        store = MemoryStore()
        with store.write() as writer:
            root = fill(writer, state)
        height = len(self.states)
        header = micro_header(number=height, state_root=root, diff_root=diff.root)
        self.states.append(state)
        self.stores.append(store)
        self.changes.append(diff.encode_changes())
        self.headers.append(header)


@dataclass(slots=True)
class Server:
    """A peer that serves the source's states, as it is made to."""

    name: PeerId
    source: Source
    draw: Random
    latency_s: float = 0.1
    """Most that an answer takes."""
    retains: int = 1000
    """Blocks below its head whose states it has."""
    lag: int = 0
    """Blocks that its head is behind."""
    lies: float = 0.0
    """Part of its answers that is false."""
    silence: float = 0.0
    """Part of the questions that it does not answer."""
    keeps_changes: bool = True
    sends_nodes: bool = True
    is_busy: bool = False
    is_stingy: bool = False
    """Whether it gives as little as an answer may have."""

    def answer(self, ask: Ask) -> StateInput | None:
        """Return what it says, or None for nothing."""
        if self.draw.random() < self.silence:
            return None
        if self.is_busy:
            return StateRefused(ask.id, ResponseStatus.BUSY)
        is_lying = self.draw.random() < self.lies
        match ask:
            case AskChanges():
                return self._changes(ask, is_lying=is_lying)
            case AskRange() | AskSubtrees():
                number = ask.target.number
                if not self.oldest <= number <= self.head:
                    return StateUnavailable(ask.id, self.oldest, self.head)
                if isinstance(ask, AskRange):
                    return self._range(ask, is_lying=is_lying)
                return self._subtrees(ask, is_lying=is_lying)

    @property
    def head(self) -> Height:
        return max(self.source.head - self.lag, 0)

    @property
    def oldest(self) -> Height:
        return max(self.head - self.retains, 0)

    def _range(self, ask: AskRange, *, is_lying: bool) -> RangeArrived:
        with self.source.stores[ask.target.number].read() as reader:
            leaves, proof = prove_range(
                reader,
                *ask.span,
                max_leaves=1 if self.is_stingy else ask.limit,
                max_bytes=MAX_BYTES,
            )
        if is_lying:
            leaves, proof = self._spoil_range(leaves, proof)
        return RangeArrived(ask.id, ProvenRange(leaves=leaves, proof=proof))

    def _spoil_range(self, leaves: bytes, proof: bytes) -> tuple[bytes, bytes]:
        match self.draw.randrange(4):
            case 0 if leaves:
                return self._spoil(leaves), proof
            case 1 if proof:
                return leaves, self._spoil(proof)
            case 2 if leaves:
                return b"", proof
            case _:
                return leaves, proof + b"\0"

    def _changes(self, ask: AskChanges, *, is_lying: bool) -> StateInput:
        if ask.target.number > self.head:
            return StateRefused(ask.id, ResponseStatus.TARGET_NOT_FOUND)
        if ask.first <= self.oldest or not self.keeps_changes:
            return StateRefused(ask.id, ResponseStatus.PRUNED)
        last = min(ask.target.number, ask.first + (1 if self.is_stingy else MAX_DIFFS) - 1)
        changes = self.source.changes[ask.first : last + 1]
        if is_lying:
            index = self.draw.randrange(len(changes))
            changes[index] = self._spoil(changes[index]) if changes[index] else b"?"
        return ChangesArrived(ask.id, tuple(changes))

    def _subtrees(self, ask: AskSubtrees, *, is_lying: bool) -> StateInput:
        if not self.sends_nodes:
            return StateFailed(ask.id)
        count = 1 if self.is_stingy else len(ask.places)
        with self.source.stores[ask.target.number].read() as reader:
            nodes = [subtree_bytes(reader, place) for place in ask.places[:count]]
        if is_lying:
            nodes[-1] = self._spoil(nodes[-1])
        return SubtreesArrived(ask.id, tuple(nodes))

    def _spoil(self, payload: bytes) -> bytes:
        index = self.draw.randrange(len(payload))
        return payload[:index] + bytes((payload[index] ^ 1,)) + payload[index + 1 :]


def random_state(draw: Random, count: int) -> State:
    """Return accounts all over the key space, and a crowd of neighbours at one place."""
    state = {Address(draw.randbytes(20)): draw.randbytes(3) for _ in range(count - count // 4)}
    crowd = draw.randbytes(17)
    state.update({Address(crowd + draw.randbytes(3)): draw.randbytes(2) for _ in range(count // 4)})
    return state
