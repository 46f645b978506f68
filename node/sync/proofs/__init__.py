"""Answers of peers that a node without the data proves for itself."""
