"""Which voting keys a push will need decoded: one epoch's at a time, each only once."""

from node.chain.view import ChainView
from protocols.types import Hash32


class VotingKeys:
    """Remembers whose keys have been asked for."""

    def __init__(self, chain: ChainView) -> None:
        self._chain = chain
        self._loaded: Hash32 | None = None

    def take_missing(self) -> tuple[bytes, ...]:
        """Return the keys of the current validators if they are new since the last call.

        Before every push: a batch needs no others, since no answer goes past a macro block.
        """
        election = self._chain.election_head.hash
        if election == self._loaded:
            return ()
        self._loaded = election
        return tuple(member.voting_key for member in self._chain.validators.members)
