"""Quorums of consecutive macro blocks, checked on two processors at once.

Who must have signed a block is in the election block that it names, which may be the one before it
in the same lot. So nothing has to be adopted before the next quorum can be checked, and the pairing
(nearly all of the work) runs without the interpreter's lock.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

from node.blocks.block import Block
from node.blocks.header import MacroHeader
from node.blocks.justification import Justification
from node.blocks.validators import Validators
from node.blocks.verify import BatchRules, has_quorum
from node.chain.head import ChainHead
from node.chain.settings import ChainSettings
from protocols.types import Hash32

THREADS: Final = 2
"""A node shares its machine: a join gets no more of it, however many processors there are."""


class QuorumChecks:
    """The checks of one lot. What was not awaited at its end is not begun."""

    def __init__(self, blocks: Sequence[Block], head: ChainHead, settings: ChainSettings) -> None:
        """Begin them.

        Args:
            blocks: Macro blocks by any peer, ascending. Others have no quorum.
            head: What they are to be adopted above.
            settings: Of the chain.
        """
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="quorums")
        self._checks: dict[tuple[Hash32, Justification], Future[bool]] = {}
        """By hash and signature: one block may come with a true quorum and with a forged one."""
        if len(blocks) > 1:
            self._begin(blocks, head, settings)

    def _begin(self, blocks: Sequence[Block], head: ChainHead, settings: ChainSettings) -> None:
        elected: dict[Hash32, Validators] = {head.election.hash: head.validators}
        for block in blocks:
            header = block.header
            # Nobody asks for the quorum of what is not above our macro head.
            if not isinstance(header, MacroHeader) or header.number <= head.macro.number:
                continue
            if header.next_validators is not None:
                elected[block.hash] = header.next_validators
            validators = elected.get(header.parent_election)
            if validators is not None:
                self._checks[block.hash, block.justification] = self._pool.submit(
                    has_quorum, block, validators, settings.policy, settings.keys
                )

    def has_quorum(self, block: Block, rules: BatchRules) -> bool:
        """Tell whether a quorum has signed a block, as `node.blocks.verify.has_quorum` does.

        Args:
            block: One that names the election block of the rules.
            rules: What it is verified against.
        """
        begun = self._checks.get((block.hash, block.justification))
        if begun is not None:
            return begun.result()
        return has_quorum(block, rules.validators, rules.policy, rules.keys)

    def __enter__(self) -> Self:
        """End with the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End: a lot of which one block is wrong has wasted two checks at most."""
        self._pool.shutdown(cancel_futures=True)
