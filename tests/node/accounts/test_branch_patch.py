from node.accounts.branch_patch import NEW_BRANCH, patch_of, patch_of_gone, patched

CHILDREN = [bytes(range(n, n + 40)) for n in range(1, 17)]
BRANCH = b"".join(CHILDREN)


def with_child(nibble: int, child: bytes) -> bytes:
    return BRANCH[: nibble * 40] + child + BRANCH[(nibble + 1) * 40 :]


def test_a_patch_holds_the_children_that_changed() -> None:
    patch = patch_of(0b10, [CHILDREN[1]])
    assert patch == b"\x00\x02" + CHILDREN[1]
    assert patched(with_child(1, bytes(40)), [patch]) == BRANCH
    both = patch_of(0x8001, [CHILDREN[0], CHILDREN[15]])
    assert both == b"\x80\x01" + CHILDREN[0] + CHILDREN[15]
    assert patched(bytes(40) + BRANCH[40:600] + bytes(40), [both]) == BRANCH


def test_a_branch_that_is_gone_comes_back_whole() -> None:
    assert patched(None, [patch_of_gone(BRANCH)]) == BRANCH
    holed = with_child(3, bytes(40))
    patch = patch_of_gone(holed)
    assert patch[:2] == b"\xff\xf7"
    assert len(patch) == 2 + 15 * 40
    assert patched(None, [patch]) == holed


def test_a_branch_that_was_new_was_none() -> None:
    assert patched(BRANCH, [NEW_BRANCH]) is None
    assert patched(None, []) is None
    assert patched(BRANCH, []) == BRANCH


def test_the_first_of_several_blocks_says_what_was_there() -> None:
    first, second = patch_of(1, [CHILDREN[0]]), patch_of(1, [CHILDREN[7]])
    assert patched(with_child(0, CHILDREN[9]), [first, second]) == BRANCH
    # Gone in the first block, there again with the second, changed in the third.
    assert patched(BRANCH, [patch_of_gone(with_child(1, bytes(40))), b"", second]) == with_child(
        1, bytes(40)
    )
