"""Local networks of real daemons."""
