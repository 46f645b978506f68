"""What two nodes must agree on: wire shapes, limits, codecs. Imports nothing of this project."""
