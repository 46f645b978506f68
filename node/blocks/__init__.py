"""Headers, bodies, justifications, and the rules that they must pass."""
