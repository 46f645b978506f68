"""The JSON-RPC interface over loopback HTTP."""
