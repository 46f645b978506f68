"""Block headers. The hash of a block is the Blake2b-256 of its header's one encoding."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias

from node.blocks.validators import MAX_SIGNER_BYTES, SignerSet, Validator, Validators
from node.crypto.hashes import hash32
from protocols.codec import FieldReader, pack, unpack
from protocols.errors import WireError
from protocols.limits import MAX_EXTRA_DATA_BYTES, MAX_HEADER_BYTES, MAX_SLOTS
from protocols.types import SEED_BYTES, Hash32, Height

MICRO: Final = 0
MACRO: Final = 1
MAX_UINT32: Final = 0xFFFF_FFFF
MAX_TIMESTAMP_MS: Final = 2**48 - 1


@dataclass(frozen=True, kw_only=True)
class CommonHeader:
    """What micro and macro headers share. Build only the two below."""

    network: int
    """Network id, 0..255."""
    version: int
    """Block format, 0..65535."""
    number: Height
    timestamp: int
    """Milliseconds since the Unix epoch."""
    parent_hash: Hash32
    seed: bytes
    """VRF proof over the parent's seed, 80 bytes; a skip block repeats its parent's."""
    extra_data: bytes
    """At most 32 bytes."""
    state_root: Hash32
    """Accounts trie after this block."""
    body_root: Hash32
    """Hash of the body's encoding."""
    diff_root: Hash32
    """Hash of the list of account changes that this block makes."""
    history_root: Hash32
    """The epoch's transactions up to and including this block."""

    @cached_property
    def encoded(self) -> bytes:
        """The wire form."""
        return pack(self._fields())

    @cached_property
    def hash(self) -> Hash32:
        """Identity of the block."""
        return hash32(self.encoded)

    def _fields(self) -> list[Any]:
        return [
            self.network,
            self.version,
            self.number,
            self.timestamp,
            self.parent_hash,
            self.seed,
            self.extra_data,
            self.state_root,
            self.body_root,
            self.diff_root,
            self.history_root,
        ]


@dataclass(frozen=True, kw_only=True)
class MicroHeader(CommonHeader):
    """Header of a micro block.

    Wire: [0, network: uint 8, version: uint 16, number: uint 32, timestamp: uint 48,
    parent: bin 32, seed: bin 80, extra data: bin 0..32, state root: bin 32, body root: bin 32,
    diff root: bin 32, history root: bin 32].
    """

    def _fields(self) -> list[Any]:
        return [MICRO, *CommonHeader._fields(self)]


@dataclass(frozen=True, kw_only=True)
class MacroHeader(CommonHeader):
    """Header of a checkpoint or election block.

    Wire: [1, ... as a micro header ..., round: uint 32, parent election: bin 32,
    validators: nil | array 1..512, punished: bin 0..64].
    """

    round: int
    """Round in which it was first proposed; decides who proposes it."""
    parent_election: Hash32
    """Hash of the election block before this one."""
    validators: tuple[Validator, ...] | None
    """Validators of the next epoch, in election blocks only."""
    punished: SignerSet
    """Slots (not validators) that produce nothing in the next batch, bit i for slot i."""

    @cached_property
    def next_validators(self) -> Validators | None:
        """The next epoch's validators with their bands."""
        return None if self.validators is None else Validators(self.validators)

    def _fields(self) -> list[Any]:
        members = self.validators
        return [
            MACRO,
            *CommonHeader._fields(self),
            self.round,
            self.parent_election,
            None if members is None else [member.to_wire() for member in members],
            self.punished.to_wire(),
        ]


Header: TypeAlias = MicroHeader | MacroHeader


def decode_header(payload: bytes) -> Header:
    """Read a header and keep its bytes, so that it hashes as it came.

    Raises:
        WireError: The payload is not exactly one header.
    """
    if len(payload) > MAX_HEADER_BYTES:
        raise WireError("Header", f"more than {MAX_HEADER_BYTES} bytes")
    value = unpack("Header", payload)
    if not isinstance(value, list) or not value or type(value[0]) is not int:
        raise WireError("Header", "not an array that starts with its type")
    if value[0] == MICRO:
        header: Header = _read_micro(value)
    elif value[0] == MACRO:
        header = _read_macro(value)
    else:
        raise WireError("Header", f"unknown type {value[0]}")
    header.__dict__["encoded"] = payload
    return header


def _read_micro(value: Any) -> MicroHeader:
    fields = FieldReader.of("MicroHeader", value, arity=12)
    return MicroHeader(**_read_common(fields))


def _read_macro(value: Any) -> MacroHeader:
    fields = FieldReader.of("MacroHeader", value, arity=16)
    return MacroHeader(
        **_read_common(fields),
        round=fields.uint(maximum=MAX_UINT32),
        parent_election=fields.hash32(),
        validators=fields.optional_items(Validator.from_wire, minimum=1, maximum=MAX_SLOTS),
        punished=SignerSet.from_wire(fields.blob(maximum=MAX_SIGNER_BYTES)),
    )


def _read_common(fields: FieldReader) -> dict[str, Any]:
    fields.uint(maximum=MACRO)
    return {
        "network": fields.uint(maximum=0xFF),
        "version": fields.uint(maximum=0xFFFF),
        "number": fields.uint(maximum=MAX_UINT32),
        "timestamp": fields.uint(maximum=MAX_TIMESTAMP_MS),
        "parent_hash": fields.hash32(),
        "seed": fields.exactly(SEED_BYTES),
        "extra_data": fields.blob(maximum=MAX_EXTRA_DATA_BYTES),
        "state_root": fields.hash32(),
        "body_root": fields.hash32(),
        "diff_root": fields.hash32(),
        "history_root": fields.hash32(),
    }
