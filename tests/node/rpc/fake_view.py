"""A node as the RPC interface sees it, over a chain made for the test."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import trio

from node.accounts.transaction import Transaction
from node.chain.reading import ChainReader
from node.event_record import EventRecord
from node.net.network import PeerRecord
from node.sync.proofs.questions import Question
from node.sync.proofs.search import Proven, Unproven
from protocols.messages.handshake import Hello
from protocols.types import PeerId, Service
from tests.build.proofs import Prover, Searching

AnswerT = TypeVar("AnswerT")

SELF = PeerId("12D3KooWself")


@dataclass
class FakeView:
    chain: ChainReader
    peer_id: PeerId = SELF
    is_established: bool = True
    refusal: str | None = None
    submitted: list[Transaction] = field(default_factory=list)
    asked_after: list[tuple[int, float]] = field(default_factory=list)
    events: EventRecord = field(default_factory=EventRecord)
    stopped: int = 0
    provers: Mapping[str, Prover] = field(default_factory=dict)
    """Peers that are asked for proofs, in this order."""

    @property
    def peers(self) -> Mapping[PeerId, PeerRecord]:
        peer = PeerId("12D3KooWother")
        hello = Hello(
            network=1,
            genesis=self.chain.genesis,
            version=1,
            services=Service.HEADERS | Service.BODIES,
            head_number=0,
            head_hash=self.chain.genesis,
            agent="headway/test",
        )
        record = PeerRecord(
            peer=peer,
            address="/ip4/127.0.0.1/tcp/1",
            is_inbound=True,
            hello=hello,
            score=0,
            bytes_in=5,
            bytes_out=7,
        )
        return {peer: record}

    def peer_lists(self) -> Mapping[PeerId, str]:
        return {PeerId("12D3KooWother"): "live"}

    def status(self) -> dict[str, Any]:
        return {"height": self.chain.head.number, "sequence": 4}

    async def status_after(self, sequence: int, timeout_s: float) -> dict[str, Any]:
        self.asked_after.append((sequence, timeout_s))
        return {**self.status(), "sequence": sequence + 1}

    async def submit(self, transaction: Transaction) -> str | None:
        self.submitted.append(transaction)
        return self.refusal

    async def prove(self, question: Question[AnswerT]) -> Proven[AnswerT] | Unproven:
        await trio.lowlevel.checkpoint()
        return Searching(self.chain, self.provers).prove(question)

    def shut_down(self) -> None:
        self.stopped += 1
