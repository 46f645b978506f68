"""History sync from peers that lie, leave, refuse and are slow: it always ends, and is fair."""

from collections.abc import Mapping
from random import Random

import pytest

from node.errors import Fault
from node.sync.macro.fetcher import Claim, EndReason
from protocols.messages.batch_set import BatchSetRequest
from protocols.messages.history_chunk import HistoryChunkRequest
from protocols.messages.macro_chain import Checkpoint
from protocols.messages.missing_blocks import MissingBlocksRequest
from protocols.status import ResponseStatus
from protocols.types import PeerId
from tests.build.blocks import digest
from tests.build.history import SMALL_LIMITS, WIDE, HistoryHarness, holds_what_was_built
from tests.build.history_peers import (
    Answering,
    changing_a_leaf,
    claim_of,
    cutting,
    failing,
    forging_a_macro_block,
    forging_quorums,
    forging_signatures,
    forging_with_headers,
    history,
    honest,
    miscounting,
    miscounting_the_end,
    refusing,
    reordering,
    silent,
)

HELPFUL: Mapping[str, Answering] = {"honest": honest, "cutting": cutting}
USELESS: Mapping[str, Answering] = {
    "silent": silent,
    "failing": failing,
    "busy": refusing(ResponseStatus.BUSY),
    "pruned": refusing(ResponseStatus.PRUNED),
    "without headers": refusing(ResponseStatus.TARGET_NOT_FOUND, MissingBlocksRequest),
    "without history": refusing(ResponseStatus.HISTORY_NOT_STORED, HistoryChunkRequest),
    "without sets": refusing(ResponseStatus.NOT_A_MACRO_BLOCK, BatchSetRequest),
}
LYING: Mapping[str, Answering] = {
    "changed leaf": changing_a_leaf,
    "forged macro block": forging_a_macro_block,
    "forged macro block with headers": forging_with_headers,
    "forged quorum": forging_quorums,
    "forged signatures": forging_signatures,
    "reordered": reordering,
    "miscounted": miscounting,
    "miscounted at the end": miscounting_the_end,
}
KINDS: Mapping[str, Answering] = {**HELPFUL, **USELESS, **LYING}

BATCH_BYTES = 8_000
SET_BYTES = 2_500
"""More than any batch and any set of the chain."""

STEPS_MAX = 4000
SEEDS = range(24)


class Simulation:
    """One honest peer that stays, and others that come and go."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        known = self.random.choice([0, 0, 1, 5, 12, 17, 36])
        limits = self.random.choice([SMALL_LIMITS, WIDE])
        self.harness = HistoryHarness(known=known, limits=limits)
        self.kinds: dict[PeerId, str] = {PeerId("honest"): self.random.choice(list(HELPFUL))}
        for index in range(self.random.randint(0, 5)):
            kind = self.random.choice(list(KINDS))
            self.kinds[PeerId(f"{index} {kind}")] = kind
        self.away = list(self.kinds)
        self.false_claims = {
            peer
            for peer, kind in self.kinds.items()
            if kind in LYING and self.random.random() < 0.3
        }
        self.seen = 0

    def run(self) -> None:
        for _ in range(STEPS_MAX):
            if self.harness.is_done:
                return
            self.act()
            self.check()
        raise AssertionError("it does not end")

    def act(self) -> None:
        """Let one thing happen; the clock moves when nothing else can."""
        harness, random = self.harness, self.random
        awake = [sent for sent in harness.requests.values() if self.kinds[sent.peer] != "silent"]
        choices = ["answer"] * (6 if awake else 0) + ["adopt"] * (3 if harness.adoption else 0)
        choices += ["join"] * (2 if self.away else 0) + ["leave", "live"]
        if not awake and harness.adoption is None:
            choices += ["wait"] * 4
        match random.choice(choices):
            case "answer":
                sent = random.choice(awake)
                harness.serve(sent, KINDS[self.kinds[sent.peer]])
            case "adopt":
                harness.adopt()
            case "join":
                self.join(self.away.pop(random.randrange(len(self.away))))
            case "leave":
                self.leave()
            case "live":
                self.push_live()
            case _:
                harness.pass_time(random.choice([0.5, 1.0, 10.0]))

    def join(self, peer: PeerId) -> None:
        whole = claim_of(history().chain, self.harness.height)
        if peer in self.false_claims:
            whole = self.falsify(whole)
        self.harness.add(peer, claim=whole)

    def falsify(self, claim: Claim) -> Claim:
        ids = list(claim.epochs)
        newest = claim.checkpoint
        if ids:
            ids[self.random.randrange(len(ids))] = digest("false")
        elif newest is not None:
            newest = Checkpoint(newest.number, digest("false"))
        return Claim(start=claim.start, epochs=tuple(ids), checkpoint=newest)

    def leave(self) -> None:
        others = [peer for peer in self.kinds if peer not in {PeerId("honest"), *self.away}]
        others = [peer for peer in others if peer not in self.bad]
        if others and self.random.random() < 0.2:
            peer = self.random.choice(others)
            self.harness.remove(peer)
            self.away.append(peer)

    def push_live(self) -> None:
        """Live sync of another part of this node pushes a few blocks."""
        if self.random.random() < 0.1:
            head = self.harness.chain.head.number
            self.harness.push_elsewhere(history().blocks[head : head + self.random.randint(1, 5)])
            self.harness.step()

    def check(self) -> None:
        harness = self.harness
        for ended in harness.ended[self.seen :]:
            # The front asks whoever failed again.
            if ended.reason is not EndReason.BAD and ended.peer not in self.away:
                self.away.append(ended.peer)
        self.seen = len(harness.ended)
        blamed = {peer for peer, fault in harness.reports if fault is not Fault.TOO_SLOW}
        assert not [peer for peer in blamed if self.kinds[peer] not in LYING]
        limits = harness.limits
        assert (
            len(harness.requests)
            <= limits.requests_max + limits.open_epochs + limits.bodies_in_flight
        )
        # The next batch is asked for in any case.
        sets = limits.open_epochs * SET_BYTES
        assert harness.machine.held_bytes <= limits.content_bytes + BATCH_BYTES + sets
        assert harness.machine.is_active == (
            bool(set(self.kinds) - set(self.away) - self.bad) or harness.adoption is not None
        )
        self.check_deadline()

    @property
    def bad(self) -> set[PeerId]:
        return set(self.harness.ended_for(EndReason.BAD))

    def check_deadline(self) -> None:
        """Whatever waits has an end."""
        deadline = self.harness.machine.next_deadline()
        if self.harness.requests:
            assert deadline is not None
        assert deadline is None or deadline > self.harness.now


@pytest.mark.parametrize("seed", SEEDS)
def test_it_ends_with_all_batches_and_blames_no_honest_peer(seed: int) -> None:
    simulation = Simulation(seed)
    simulation.run()
    assert holds_what_was_built(simulation.harness.chain, history())


@pytest.mark.parametrize("kind", LYING)
def test_a_liar_is_found_out_and_the_others_finish(kind: str) -> None:
    harness = HistoryHarness()
    liar, friend = PeerId(kind), PeerId("honest")
    answering = {liar: LYING[kind], friend: honest}
    harness.add(liar)
    returned = False
    for _ in range(STEPS_MAX):
        if harness.is_done:
            break
        if harness.reports and not returned:
            harness.add(friend)
            returned = True
        if harness.requests:
            sent = next(iter(harness.requests.values()))
            harness.serve(sent, answering[sent.peer])
        elif harness.adoption is not None:
            harness.adopt()
        elif harness.machine.target is None and not returned:
            harness.add(friend)
            returned = True
    assert harness.is_done
    assert {peer for peer, _ in harness.reports} <= {liar}
    assert harness.reports or kind == "forged macro block"


def test_the_seeds_are_played_the_same_again() -> None:
    first, second = Simulation(3), Simulation(3)
    first.run()
    second.run()
    assert first.harness.ended == second.harness.ended
    assert first.harness.progressed == second.harness.progressed
