"""What two nodes must agree on: wire shapes, limits, codecs. A leaf: imports nothing of this project."""
