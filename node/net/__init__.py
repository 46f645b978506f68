"""The network protocol and its two implementations."""
