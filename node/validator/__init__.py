"""Producing blocks, voting and skipping."""
