"""Sizes and counts that both sides keep. Each says why it is what it is."""

from typing import Final

PROTOCOL_VERSION: Final = 1
"""Version in the handshake and in every protocol id and topic."""

MAX_SLOTS: Final = 512
"""Most validator slots of an epoch; a signer bitmap fits in 64 bytes."""

MAX_EXTRA_DATA_BYTES: Final = 32
"""Free bytes of a header."""

MAX_TRANSACTION_DATA_BYTES: Final = 64
"""Free bytes of a transaction."""

MAX_BODY_BYTES: Final = 8_000_000
"""No genesis may allow larger bodies: one still fits into a response."""

MAX_HEADER_BYTES: Final = 65_536
"""An election header with 512 validators of 105 bytes, and room."""

MAX_JUSTIFICATION_BYTES: Final = 256
"""A quorum signature with its largest bitmap, and room."""

MAX_BLOCK_BYTES: Final = MAX_HEADER_BYTES + MAX_JUSTIFICATION_BYTES + MAX_BODY_BYTES + 16
"""A whole block: its three parts, their length prefixes and the array around them."""

MAX_BLOCKS_PER_RESPONSE: Final = 65_535
"""A batch is never longer; the response's size is the limit that counts."""

MAX_LOCATORS: Final = 255
"""Hashes in a missing-blocks request."""

MAX_GOSSIP_BYTES: Final = 1_000_000
"""py-libp2p drops larger messages without a word, so they are refused before they are sent."""

MAX_RESPONSE_BYTES: Final = 10 * 1024 * 1024
"""Largest response to any request."""

MAX_REQUEST_BYTES: Final = 20 * 1024
"""Largest request: 255 locators and their overhead fit twice."""

MAX_FRAME_BYTES: Final = 64 * 1024
"""Payload bytes of one piece of a response: what a reader holds before it can use any of it."""
