"""Why a block counts: who signed for it."""

from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeAlias

from node.blocks.header import MAX_UINT32
from node.blocks.validators import MAX_SIGNER_BYTES, SignerSet
from protocols.codec import FieldReader, pack, unpack
from protocols.errors import WireError
from protocols.limits import MAX_JUSTIFICATION_BYTES
from protocols.types import BLS_SIGNATURE_BYTES, ED25519_SIGNATURE_BYTES


@dataclass(frozen=True, slots=True)
class ProducerSignature:
    """A micro block, signed by the slot owner of its height.

    Wire: [0, signature: bin 64]. Ed25519 over the header hash.
    """

    TAG: ClassVar[int] = 0
    signature: bytes

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack([self.TAG, self.signature])


@dataclass(frozen=True, slots=True)
class SkipProof:
    """A skip block: a quorum says that the producer of this height was silent.

    Wire: [1, signature: bin 96, signers: bin 0..64]. Aggregate BLS over the skip message.
    """

    TAG: ClassVar[int] = 1
    signature: bytes
    signers: SignerSet

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack([self.TAG, self.signature, self.signers.to_wire()])


@dataclass(frozen=True, slots=True)
class QuorumSignature:
    """A macro block that a quorum has precommitted to.

    Wire: [2, round: uint 32, signature: bin 96, signers: bin 0..64]. Aggregate BLS over the
    precommit message of that round. Genesis has an empty signature and no signers.
    """

    TAG: ClassVar[int] = 2
    round: int
    """Round of the votes: the proposal's own or a later one."""
    signature: bytes
    signers: SignerSet

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack([self.TAG, self.round, self.signature, self.signers.to_wire()])


Justification: TypeAlias = ProducerSignature | SkipProof | QuorumSignature

GENESIS_JUSTIFICATION: Final = QuorumSignature(0, bytes(BLS_SIGNATURE_BYTES), SignerSet(0))


def decode_justification(payload: bytes) -> Justification:
    """Read a justification. Signatures are not checked here.

    Raises:
        WireError: The payload is not exactly one justification.
    """
    if len(payload) > MAX_JUSTIFICATION_BYTES:
        raise WireError("Justification", f"more than {MAX_JUSTIFICATION_BYTES} bytes")
    value = unpack("Justification", payload)
    tag = value[0] if isinstance(value, list) and value else None
    if type(tag) is not int:
        raise WireError("Justification", "not an array that starts with its type")
    if tag == ProducerSignature.TAG:
        return _read_producer_signature(value)
    if tag == SkipProof.TAG:
        return _read_skip_proof(value)
    if tag == QuorumSignature.TAG:
        return _read_quorum_signature(value)
    raise WireError("Justification", f"unknown type {tag}")


def _read_producer_signature(value: Any) -> ProducerSignature:
    fields = FieldReader.of("ProducerSignature", value, arity=2)
    fields.raw()
    return ProducerSignature(fields.exactly(ED25519_SIGNATURE_BYTES))


def _read_skip_proof(value: Any) -> SkipProof:
    fields = FieldReader.of("SkipProof", value, arity=3)
    fields.raw()
    return SkipProof(fields.exactly(BLS_SIGNATURE_BYTES), _read_signers(fields))


def _read_quorum_signature(value: Any) -> QuorumSignature:
    fields = FieldReader.of("QuorumSignature", value, arity=4)
    fields.raw()
    return QuorumSignature(
        fields.uint(maximum=MAX_UINT32),
        fields.exactly(BLS_SIGNATURE_BYTES),
        _read_signers(fields),
    )


def _read_signers(fields: FieldReader) -> SignerSet:
    return SignerSet.from_wire(fields.blob(maximum=MAX_SIGNER_BYTES))
