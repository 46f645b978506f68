from node.crypto.hashes import address_of, hash32


def test_published_hash() -> None:
    """BLAKE2b-256 of "abc", as b2sum -l 256 prints it."""
    assert (
        hash32(b"abc").hex() == "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"
    )


def test_an_address_is_the_start_of_the_hash_of_the_key() -> None:
    key = bytes(range(32))
    assert address_of(key) == hash32(key)[:20]
