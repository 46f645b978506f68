"""Fixtures and profiles of all tests. Builders live in tests/build/."""

import os

from hypothesis import HealthCheck, settings

# A deadline per example would be a timing assertion, and the machines that run this are shared.
settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci", max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("nightly", parent=settings.get_profile("ci"), max_examples=5000)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if "CI" in os.environ else "dev")
)
