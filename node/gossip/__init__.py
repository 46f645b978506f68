"""One pure verdict function for each topic."""
