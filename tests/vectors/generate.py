"""Writes the wire vectors: `python -m tests.vectors.generate`.

Deterministic: no clock, no random numbers, signatures of this network need none. Byte strings are
lower-case hex.
"""

import json
from collections.abc import Mapping
from dataclasses import astuple, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

from node.accounts.account import Account
from node.accounts.diff import Change, Diff
from node.blocks.signing import prevote_message, proposal_message
from node.blocks.slots import draw_validators, producer_slot
from node.blocks.validators import SignerSet
from node.chain.history_proof import load_proof
from node.chain.history_tree import NO_PEAKS, append, extend
from node.crypto import vrf
from node.crypto.seeds import entropy
from node.storage.memory import MemoryStore
from protocols.codec import Value, pack
from protocols.frames import encode_frames, encode_varint
from protocols.ids import RequestProtocol, Topic, protocol_id, topic_id
from protocols.limits import MAX_FRAME_BYTES
from protocols.messages.block import BlockRequest
from protocols.status import ResponseStatus
from tests.build.plain_trie import root_from_records
from tests.vectors import messages, samples, state_proofs

PATH: Final = Path(__file__).parent / "wire.json"


def build() -> dict[str, Any]:
    """Return all vectors as JSON values."""
    return {
        "keys": _keys(),
        "values": _values(),
        "frames": _frames(),
        "ids": _ids(),
        "messages": _messages(),
        "refused": _refused(),
        "transactions": [_transaction(each) for each in samples.TRANSACTIONS],
        "headers": [
            _header(each) for each in (samples.MICRO, samples.CHECKPOINT, samples.ELECTION)
        ],
        "bodies": [_body(each) for each in _BODIES],
        "justifications": [
            _message(each) for each in (samples.PRODUCED, samples.SKIPPED, samples.DECIDED)
        ],
        "blocks": _blocks(),
        "signatures": _signatures(),
        "aggregates": _aggregates(),
        "seeds": [_seed(parent, key) for parent, key in _SEEDS],
        "producers": _producers(),
        "election": _election(),
        "accounts": [_accounts(count) for count in (0, 1, 64, 65, 300)],
        "state proofs": state_proofs.build(),
        "diffs": [_diff(changes) for changes in _CHANGES],
        "history": [_history(count) for count in (0, 1, 2, 3, 7)],
        "proofs": [_proof(indices, count) for indices, count in _PROVEN],
        "genesis": _genesis(),
    }


def text() -> str:
    """Return the content of the file."""
    return json.dumps(build(), indent=1) + "\n"


_BODIES: Final = (samples.MICRO_BODY, samples.FULL_MICRO_BODY, samples.MACRO_BODY)
_SEEDS: Final = ((samples.SEED, samples.SIGNING[1]), (samples.NEXT_SEED, samples.SIGNING[2]))
_CHANGES: Final[tuple[Mapping[int, int | None], ...]] = ({}, {0: 5}, {0: None, 1: 2**53 - 1})
"""Coins by index of the address; None deletes the account."""
_PROVEN: Final = (
    ((1, 2), 7),
    ((1, 2, 4), 7),
    ((0,), 1),
    ((6,), 7),
    ((0, 3), 4),
    (tuple(range(7)), 7),
    ((3, 4, 5), 6),
)
"""Leaf indices and leaf counts; the first two are those of the documentation."""


def _plain(value: Any) -> Any:
    """Turn a value of ours into JSON: fields by name, bytes as hex."""
    match value:
        case bytes():
            return value.hex()
        case SignerSet():
            return value.to_wire().hex()
        case Enum():
            return value.value
        case tuple() | list():
            return [_plain(item) for item in value]
        case _ if is_dataclass(value):
            return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
        case _:
            return value


def _message(message: messages.Encodable) -> dict[str, Any]:
    return {
        "kind": type(message).__name__,
        "fields": _plain(message),
        "encoded": message.encode().hex(),
    }


def _keys() -> list[dict[str, Any]]:
    return [
        {
            "signing_seed": signing.seed.hex(),
            "signing_key": signing.public_key.hex(),
            "address": address.hex(),
            "voting_secret": voting.secret.hex(),
            "voting_key": voting.public_key.hex(),
            "proof_of_possession": voting.proof_of_possession().hex(),
        }
        for signing, voting, address in zip(
            samples.SIGNING, samples.VOTING, samples.ADDRESSES, strict=True
        )
    ]


def _values() -> list[dict[str, Any]]:
    """One encoding per value, at the lengths where the encoding changes."""
    edges = (0, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**53 - 1)
    values: list[tuple[str, Value]] = [(f"uint {edge}", edge) for edge in edges]
    values += [("nil", None), ("false", False), ("true", True)]
    values += [(f"{length} bytes of 00", bytes(length)) for length in (0, 32, 255, 256)]
    values += [(f"text of {length} a", "a" * length) for length in (0, 31, 32)]
    values += [(f"array of {length} zeros", [0] * length) for length in (0, 15, 16)]
    return [{"value": name, "encoded": pack(value).hex()} for name, value in values]


def _frames() -> dict[str, Any]:
    """Payloads count up from 00 and start again after ff; long streams are given by their ends."""
    sizes = (1, 127, 128, 300, MAX_FRAME_BYTES, MAX_FRAME_BYTES + 1)
    streams = []
    for size in sizes:
        frames = list(encode_frames(samples.pattern(0, size)))
        streams.append(
            {
                "payload_bytes": size,
                "frame_bytes": [len(frame) for frame in frames],
                "frame_starts": [frame[:8].hex() for frame in frames],
            }
        )
    refused = {
        "empty stream": b"",
        "empty frame": b"\x00",
        "length not in its shortest form": b"\x81\x00a",
        "length of more than five bytes": b"\xff" * 6,
        "frame larger than the largest": encode_varint(MAX_FRAME_BYTES + 1),
        "stream ends inside a frame": b"\x02a",
        "stream ends inside a length": b"\x80",
        "frame after one that was not full": b"\x01a\x01b",
    }
    return {
        "varints": [
            {"value": value, "encoded": encode_varint(value).hex()}
            for value in (0, 1, 127, 128, 300, 16_383, 16_384, MAX_FRAME_BYTES)
        ],
        "streams": streams,
        "refused": [{"why": why, "stream": stream.hex()} for why, stream in refused.items()],
    }


def _ids() -> dict[str, Any]:
    genesis = samples.GENESIS.hash
    return {
        "genesis": genesis.hex(),
        "protocols": {each.value: protocol_id(genesis, each) for each in RequestProtocol},
        "topics": {each.value: topic_id(genesis, each) for each in Topic},
    }


def _messages() -> list[dict[str, Any]]:
    return [_message(each) for each in messages.all_kinds()]


def _refused() -> list[dict[str, Any]]:
    good = BlockRequest(hash=samples.digest(1), with_body=True).encode()
    block_requests = {
        "nothing": b"",
        "a byte too many": good + b"\x00",
        "a byte too few": good[:-1],
        "another arity": pack([samples.digest(1)]),
        "a hash of 31 bytes": pack([samples.digest(1)[:31], True]),
        "text for bytes": b"\x92\xd9\x20" + b"a" * 32 + b"\xc3",
        "an integer for a boolean": good[:-1] + b"\x01",
        "a length in a wider form than needed": b"\x92\xc5\x00\x20" + good[3:],
        "a map": b"\x80",
        "a float": b"\x92" + good[1:-1] + b"\xca\x00\x00\x00\x00",
    }
    refused = [("BlockRequest", why, encoded) for why, encoded in block_requests.items()]
    refused += [
        ("HeadResponse", "a status that is not known", pack([max(ResponseStatus) + 1])),
        ("HeadResponse", "a refusal with content", pack([1, 0])),
        ("HeadResponse", "a success without content", pack([0])),
        ("HeadResponse", "a boolean for the status", pack([False])),
        ("Vote", "a type that is not known", pack([3])),
        ("Header", "a number of more than 32 bits", _overgrown_header()),
        ("SignerSet", "a trailing zero byte", b"\x01\x00"),
    ]
    return [{"kind": kind, "why": why, "encoded": each.hex()} for kind, why, each in refused]


def _overgrown_header() -> bytes:
    # Field 3 is the number 61, in one byte behind type, network and version.
    encoded = samples.MICRO.encoded
    assert encoded[4] == 61
    return encoded[:4] + b"\xcf" + (2**32).to_bytes(8, "big") + encoded[5:]


def _transaction(transaction: Any) -> dict[str, Any]:
    return _message(transaction) | {"hash": transaction.hash.hex()}


def _header(header: Any) -> dict[str, Any]:
    return {
        "kind": type(header).__name__,
        "fields": _plain(header),
        "encoded": header.encoded.hex(),
        "hash": header.hash.hex(),
    }


def _body(body: Any) -> dict[str, Any]:
    return {
        "kind": type(body).__name__,
        "fields": _plain(body),
        "encoded": body.encoded.hex(),
        "root": body.root.hex(),
    }


def _blocks() -> list[dict[str, Any]]:
    blocks = {
        "micro": samples.MICRO_BLOCK,
        "micro without its body": samples.MICRO_BLOCK.without_body(),
        "checkpoint": samples.CHECKPOINT_BLOCK,
    }
    return [
        {"name": name, "hash": block.hash.hex(), "encoded": block.encode().hex()}
        for name, block in blocks.items()
    ]


def _signatures() -> list[dict[str, Any]]:
    """Messages under the key of validator 1 (Ed25519) or 2 (BLS)."""
    network, block = samples.NETWORK, samples.CHECKPOINT.hash
    signing, voting = samples.SIGNING[1], samples.VOTING[2]
    ed25519 = {
        "proposal, new block": proposal_message(network, 120, 0, None, block),
        "proposal, block of round 1": proposal_message(network, 120, 2, 1, block),
        "micro block": samples.MICRO.hash,
    }
    bls = {
        "skip": samples.SKIP_MESSAGE,
        "prevote for none": prevote_message(network, 120, 2, None),
        "prevote": prevote_message(network, 120, 2, block),
        "precommit": samples.PRECOMMIT_MESSAGE,
    }
    return [
        *(_signed("ed25519", what, each, signing) for what, each in ed25519.items()),
        *(_signed("bls", what, each, voting) for what, each in bls.items()),
    ]


def _signed(scheme: str, what: str, message: bytes, key: Any) -> dict[str, Any]:
    return {
        "scheme": scheme,
        "what": what,
        "message": message.hex(),
        "public_key": key.public_key.hex(),
        "signature": key.sign(message).hex(),
    }


def _aggregates() -> list[dict[str, Any]]:
    return [
        {
            "message": message.hex(),
            "signers": samples.SIGNERS.to_wire().hex(),
            "voting_keys": [
                samples.VOTING[index].public_key.hex() for index in samples.SIGNERS.indices()
            ],
            "signature": samples.aggregate(message).hex(),
        }
        for message in (samples.SKIP_MESSAGE, samples.PRECOMMIT_MESSAGE)
    ]


def _seed(parent: bytes, key: Any) -> dict[str, Any]:
    parent_output = _output(parent)
    alpha = b"headway seed" + parent_output
    seed = vrf.prove(key, alpha)
    return {
        "signing_key": key.public_key.hex(),
        "parent_seed": parent.hex(),
        "parent_output": parent_output.hex(),
        "alpha": alpha.hex(),
        "seed": seed.hex(),
        "output": _output(seed).hex(),
        "entropy": entropy(seed).hex(),
    }


def _output(seed: bytes) -> bytes:
    output = vrf.proof_to_hash(seed)
    assert output is not None
    return output


def _producers() -> list[dict[str, Any]]:
    """Slots of the genesis validators by height, round and punished set."""
    chance, validators = entropy(samples.SEED), _elected()
    places = [
        (number, round_, punished)
        for number in (1, 2)
        for round_ in (0, 1, 2)
        for punished in (SignerSet(0), SignerSet.of(range(0, 12, 2)))
    ]
    return [
        {
            "slots": validators.slots,
            "entropy": chance.hex(),
            "number": number,
            "round": round_,
            "punished": punished.to_wire().hex(),
            "slot": producer_slot(validators, punished, chance, number, round_),
        }
        for number, round_, punished in places
    ]


def _elected() -> Any:
    return draw_validators(samples.CANDIDATES, entropy(samples.SEED), 12)


def _election() -> dict[str, Any]:
    return {
        "candidates": _plain(samples.CANDIDATES),
        "entropy": entropy(samples.SEED).hex(),
        "slots": 12,
        "validators": _plain(_elected().members),
    }


def _accounts(count: int) -> dict[str, Any]:
    """Account i has the first 20 bytes of the hash of i (4 bytes) as address, and i + 1 coins."""
    records = [
        (address, Account(coins).encode())
        for address, coins in samples.many_accounts(count).items()
    ]
    return {"accounts": count, "root": root_from_records(records).hex()}


def _diff(changes: Mapping[int, int | None]) -> dict[str, Any]:
    by_address = {samples.ADDRESSES[index]: coins for index, coins in changes.items()}
    entries = tuple(
        # The old value is not part of what is hashed; it only must differ.
        Change(address, Account(7).encode(), None if coins is None else Account(coins).encode())
        for address, coins in sorted(by_address.items())
    )
    diff = Diff(entries)
    return {
        "coins": {address.hex(): coins for address, coins in sorted(by_address.items())},
        "encoded": diff.encode_changes().hex(),
        "root": diff.root.hex(),
    }


def _history(count: int) -> dict[str, Any]:
    transactions = samples.history(count)
    peaks, _ = extend(NO_PEAKS, transactions)
    return {
        "transactions": _plain(transactions),
        "peaks": _plain(peaks.hashes),
        "root": peaks.root.hex(),
    }


def _proof(indices: tuple[int, ...], count: int) -> dict[str, Any]:
    store, transactions = MemoryStore(), samples.history(count)
    with store.write() as writer:
        root = append(writer, 1, transactions)
        proof = load_proof(writer, 1, indices, count)
    return {
        "indices": list(indices),
        "transactions": [transactions[index].hex() for index in indices],
        "leaf_count": count,
        "proof": _plain(proof),
        "root": root.hex(),
    }


def _genesis() -> dict[str, Any]:
    genesis = samples.GENESIS
    block = genesis.block()
    return {
        "name": genesis.name,
        "network": genesis.network,
        "timestamp": genesis.timestamp,
        "seed": genesis.seed.hex(),
        "policy": list(astuple(genesis.policy)),
        "candidates": _plain(samples.CANDIDATES),
        "coins": {address.hex(): coins for address, coins in sorted(genesis.accounts.items())},
        "commitment": block.header.extra_data.hex(),
        "header": block.header.encoded.hex(),
        "hash": genesis.hash.hex(),
        "encoded": block.encode().hex(),
    }


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
