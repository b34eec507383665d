"""The lessons run members as the tests of the promises do."""

from __future__ import annotations

from tests.path.conftest import app, bench

__all__ = ["app", "bench"]
