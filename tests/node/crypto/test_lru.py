import pytest

from node.crypto.lru import LruCache


def test_it_forgets_what_was_used_longest_ago() -> None:
    cache: LruCache[str, int] = LruCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)

    assert [cache.get(key) for key in "abc"] == [1, None, 3]
    assert len(cache) == 2


def test_replacing_an_entry_counts_as_use() -> None:
    cache: LruCache[str, int] = LruCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    cache.put("a", 3)
    cache.put("c", 4)

    assert [cache.get(key) for key in "abc"] == [3, None, 4]


def test_it_holds_at_least_one_entry() -> None:
    with pytest.raises(ValueError, match="at least one entry: 0"):
        LruCache(0)
