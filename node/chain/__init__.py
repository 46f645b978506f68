"""The chain: push, fork choice, finality, and what may be read of it."""
