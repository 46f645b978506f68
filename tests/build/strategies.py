"""Hypothesis strategies for blocks and their parts: well-formed, not valid."""

from hypothesis import strategies as st

from node.accounts.transaction import MAX_COINS, Transaction
from node.blocks.block import Block
from node.blocks.body import Body, EquivocationProof, MacroBody, MicroBody, Reward
from node.blocks.header import MAX_TIMESTAMP_MS, MacroHeader, MicroHeader
from node.blocks.justification import (
    Justification,
    ProducerSignature,
    QuorumSignature,
    SkipProof,
)
from node.blocks.validators import SignerSet, Validator
from protocols.types import Address, Hash32


def blob(length: int) -> st.SearchStrategy[bytes]:
    """Return byte strings of one length."""
    return st.binary(min_size=length, max_size=length)


hashes = blob(32).map(Hash32)
addresses = blob(20).map(Address)
uint8 = st.integers(0, 2**8 - 1)
uint32 = st.integers(0, 2**32 - 1)
coins = st.integers(0, MAX_COINS)
signer_sets = st.builds(SignerSet, st.integers(0, 2**512 - 1) | st.integers(0, 255))

validators = st.builds(
    Validator,
    address=addresses,
    signing_key=blob(32),
    voting_key=blob(48),
    slots=st.integers(1, 512),
)

_common = {
    "network": uint8,
    "version": st.integers(0, 2**16 - 1),
    "number": uint32,
    "timestamp": st.integers(0, MAX_TIMESTAMP_MS),
    "parent_hash": hashes,
    "seed": blob(80),
    "extra_data": st.binary(max_size=32),
    "state_root": hashes,
    "body_root": hashes,
    "diff_root": hashes,
    "history_root": hashes,
}
micro_headers = st.builds(MicroHeader, **_common)
macro_headers = st.builds(
    MacroHeader,
    **_common,
    round=uint32,
    parent_election=hashes,
    validators=st.none() | st.lists(validators, min_size=1, max_size=5).map(tuple),
    punished=signer_sets,
)
headers = micro_headers | macro_headers

transactions = st.builds(
    Transaction,
    sender_key=blob(32),
    recipient=addresses,
    value=coins,
    fee=coins,
    validity_start=uint32,
    network=uint8,
    data=st.binary(max_size=64),
    signature=blob(64),
)


@st.composite
def _proofs(draw: st.DrawFn) -> EquivocationProof:
    pair = draw(st.lists(micro_headers, min_size=2, max_size=2, unique_by=lambda each: each.hash))
    first, second = sorted(pair, key=lambda header: header.hash)
    return EquivocationProof(
        header1=first, signature1=draw(blob(64)), header2=second, signature2=draw(blob(64))
    )


equivocation_proofs = _proofs()
micro_bodies = st.builds(
    MicroBody,
    st.lists(equivocation_proofs, max_size=2).map(tuple),
    st.lists(transactions, max_size=4).map(tuple),
)
macro_bodies = st.builds(
    MacroBody, st.lists(st.builds(Reward, addresses, coins), max_size=5).map(tuple)
)
bodies: st.SearchStrategy[Body] = micro_bodies | macro_bodies

justifications: st.SearchStrategy[Justification] = (
    st.builds(ProducerSignature, blob(64))
    | st.builds(SkipProof, blob(96), signer_sets)
    | st.builds(QuorumSignature, uint32, blob(96), signer_sets)
)

blocks = st.builds(Block, headers, justifications, st.none() | bodies)
