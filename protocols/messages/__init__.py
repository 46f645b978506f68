"""One file for each request and announcement."""
