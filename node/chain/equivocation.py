"""Finding a producer that has signed two micro blocks of one turn."""

from node.blocks.block import Block
from node.blocks.body import EquivocationProof
from node.blocks.header import MicroHeader
from node.blocks.justification import ProducerSignature
from node.crypto.seeds import have_one_parent


def equivocation_between(one: Block, other: Block) -> EquivocationProof | None:
    """Return the proof that two different blocks of one height and producer are; None for others.

    Skip blocks and macro blocks are signed by a quorum: with them nobody equivocates alone. Above a
    micro block and above the skip block beside it the same producer may have its turn twice.
    """
    first, second = sorted((one, other), key=lambda block: block.hash)
    match first, second:
        case (
            Block(MicroHeader() as header1, ProducerSignature(signature1)),
            Block(MicroHeader() as header2, ProducerSignature(signature2)),
        ) if have_one_parent(header1.seed, header2.seed):
            return EquivocationProof(
                header1=header1, signature1=signature1, header2=header2, signature2=signature2
            )
        case _:
            return None
