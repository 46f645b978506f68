"""One pure function for each request: (request, view) to response."""
