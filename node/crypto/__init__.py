"""Hashes, signatures, aggregate votes and the verifiable random seed."""
