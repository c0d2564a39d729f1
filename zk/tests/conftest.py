"""Fixtures of the proofs' tests."""

import pytest
from django.core.cache import cache


@pytest.fixture(autouse=True)
def _empty_cache():
    """Proofs that one test made must not answer another's request."""
    cache.clear()
