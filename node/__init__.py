"""The node: everything between the command line and the wire."""
