"""Block live sync: follow the head."""
