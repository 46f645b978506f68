"""The durable store behind a small protocol."""
