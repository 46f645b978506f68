"""Measurements, each divided by something measured in the same run. Not tests: nothing fails."""
