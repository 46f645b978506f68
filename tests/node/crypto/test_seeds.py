import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from node.crypto import vrf
from node.crypto.seeds import entropy, next_seed, verify_seed
from tests.build.blocks import SEED_0
from tests.build.keys import keys
from tests.node.crypto.test_vrf import POINT_OF_ORDER_8

KEY = keys(0).signing


def test_a_seed_belongs_to_its_parent_and_producer() -> None:
    first = next_seed(KEY, SEED_0)
    second = next_seed(KEY, first)

    assert verify_seed(KEY.public_key, SEED_0, first)
    assert verify_seed(KEY.public_key, first, second)
    assert not verify_seed(KEY.public_key, SEED_0, second)
    assert not verify_seed(keys(1).signing.public_key, SEED_0, first)


def test_entropy_differs_from_seed_to_seed() -> None:
    seeds = [SEED_0]
    for _ in range(5):
        seeds.append(next_seed(KEY, seeds[-1]))

    drawn = {entropy(seed) for seed in seeds}
    assert len(drawn) == 6
    assert {len(each) for each in drawn} == {32}


def test_only_the_output_of_a_seed_counts() -> None:
    """Other bytes with the same output lead to the same successor and the same draws."""
    gamma = bindings.crypto_core_ed25519_add(SEED_0[:32], POINT_OF_ORDER_8)
    respelled = gamma + SEED_0[32:]

    assert entropy(respelled) == entropy(SEED_0)
    assert next_seed(KEY, respelled) == next_seed(KEY, SEED_0)


@given(st.binary(max_size=100) | st.binary(min_size=80, max_size=80))
def test_any_bytes_are_refused_without_an_error(seed: bytes) -> None:
    assert not verify_seed(KEY.public_key, SEED_0, seed)


def test_an_unverified_parent_is_our_bug() -> None:
    with pytest.raises(AssertionError):
        entropy(b"no seed")


def test_a_seed_is_no_proof_for_other_purposes() -> None:
    output = vrf.proof_to_hash(SEED_0)
    assert output is not None
    assert vrf.verify(KEY.public_key, output, next_seed(KEY, SEED_0)) is None
