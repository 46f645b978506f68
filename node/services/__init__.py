"""Thin trio tasks: each feeds one machine and carries out its effects."""
