"""Macro sync: get near the head first."""
