"""Keys that are the same in every run, made once."""

from collections.abc import Sequence
from functools import cache

from node.blocks.slots import Candidate
from node.blocks.validators import Validator, Validators
from node.chain.genesis import Genesis
from node.keys import NodeKeys
from node.policy import Policy
from protocols.limits import MAX_SLOTS
from protocols.types import Address

SEED = "tests"

SMALL_POLICY = Policy(
    batch_length=4,
    batches_per_epoch=3,
    slots=12,
    block_separation_ms=1000,
    producer_timeout_ms=4000,
    validity_window_batches=2,
)
"""Macro blocks at 4, 8, 12, ..., elections at 12, 24, ...; quorum 8 slots, f+1 4."""

GENESIS_TIMESTAMP = 1_700_000_000_000


@cache
def keys(index: int) -> NodeKeys:
    """Return the keys of validator number `index`."""
    return NodeKeys.derive(SEED, f"validator-{index}")


@cache
def account_keys(index: int) -> NodeKeys:
    """Return the keys of a funded account that is no validator."""
    return NodeKeys.derive(SEED, f"account-{index}")


def candidate(index: int, *, stake: int = 1000) -> Candidate:
    """Return validator number `index` as somebody to elect."""
    who = keys(index)
    return Candidate(
        address=who.reward_address,
        signing_key=who.signing.public_key,
        voting_key=who.voting.public_key,
        stake=stake,
    )


def validators(count: int, *, slots_each: int = 1) -> Validators:
    """Return an epoch's validators 0..count-1 in this order, all with equal bands."""
    return Validators(tuple(_validator(candidate(index), slots_each) for index in range(count)))


def keys_of(members: Validators) -> tuple[NodeKeys, ...]:
    """Return the secrets of an epoch's validators, in their order."""
    return tuple(_keys_of(member.signing_key) for member in members.members)


def genesis(
    validator_count: int = 4,
    *,
    policy: Policy = SMALL_POLICY,
    account_count: int = 3,
    coins: int = 1_000_000,
    network: int = 1,
) -> Genesis:
    """Return a genesis with equal stakes and funded accounts 0..account_count-1."""
    return Genesis.for_testnet(
        SEED,
        validators=_first(validator_count),
        policy=policy,
        timestamp=GENESIS_TIMESTAMP,
        network=network,
        accounts={address(index): coins for index in range(account_count)},
    )


def address(index: int) -> Address:
    """Return the address of funded account number `index`."""
    return account_keys(index).reward_address


@cache
def _keys_of(signing_key: bytes) -> NodeKeys:
    known = (keys(index) for index in range(MAX_SLOTS))
    return next(each for each in known if each.signing.public_key == signing_key)


def _first(count: int) -> Sequence[NodeKeys]:
    return tuple(keys(index) for index in range(count))


def _validator(who: Candidate, slots: int) -> Validator:
    return Validator(
        address=who.address,
        signing_key=who.signing_key,
        voting_key=who.voting_key,
        slots=slots,
    )
