"""Head requests."""

from node.serve.head import serve_head
from protocols.messages.head import HeadRequest, HeadResponse
from tests.node.serve.chains import forked


def test_heads_of_the_main_chain() -> None:
    known = forked()

    assert serve_head(HeadRequest(), known.chain) == HeadResponse(
        number=13,
        hash=known.at(13),
        macro_number=10,
        macro_hash=known.at(10),
        election_number=10,
        election_hash=known.at(10),
    )
