"""Every decision about fetching."""
