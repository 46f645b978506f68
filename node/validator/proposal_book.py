"""The proposals of one macro block that are worth keeping."""

from collections.abc import Callable, Collection

from node.validator.macro_values import SignedProposal
from protocols.types import Hash32


class ProposalBook:
    """At most one proposal per round, and blocks by hash."""

    def __init__(self) -> None:
        self._by_round: dict[int, SignedProposal] = {}
        self._by_hash: dict[Hash32, SignedProposal] = {}

    def __len__(self) -> int:
        """Count the proposals kept."""
        return len(self._by_round) + len(self._by_hash)

    def at(self, round_: int) -> SignedProposal | None:
        """Return the proposal of a round."""
        return self._by_round.get(round_)

    def of(self, block: Hash32) -> SignedProposal | None:
        """Return a proposal, of any round, that carries this block."""
        return self._by_hash.get(block)

    def add(self, proposal: SignedProposal) -> None:
        """Keep the first proposal of its round."""
        if self._by_round.setdefault(proposal.round, proposal) is proposal:
            self._by_hash.setdefault(proposal.hash, proposal)

    def add_content(self, proposal: SignedProposal) -> None:
        """Keep a block that others have voted for, whatever we hold for its round."""
        self._by_hash.setdefault(proposal.hash, proposal)

    def valid_rounds(self) -> set[int]:
        """Return the older rounds that proposals refer to."""
        return {p.valid_round for p in self._by_round.values() if p.valid_round is not None}

    def drop_strangers(self, proposer_of: Callable[[int], int]) -> None:
        """Forget proposals whose signer does not propose in that round on top of a new parent."""
        for round_, proposal in list(self._by_round.items()):
            if proposer_of(round_) != proposal.message.proposer:
                del self._by_round[round_]

    def prune(self, rounds: Collection[int], blocks: Collection[Hash32]) -> None:
        """Forget all rounds but these, and all blocks but theirs and these."""
        self._by_round = {r: p for r, p in self._by_round.items() if r in rounds}
        kept = {p.hash for p in self._by_round.values()} | set(blocks)
        self._by_hash = {hash_: p for hash_, p in self._by_hash.items() if hash_ in kept}
