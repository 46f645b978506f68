"""Click commands only: parse, call one function, map errors to exit codes."""
