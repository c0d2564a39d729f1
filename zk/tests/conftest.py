"""Fixtures of the proofs' tests."""

import pytest
from django.core.cache import cache

from accounts.tests.factories import UserFactory, bearer
from zk.tests.evm import Node


@pytest.fixture(autouse=True)
def _empty_cache():
    """Proofs that one test made must not answer another's request."""
    cache.clear()


@pytest.fixture
def user():
    return UserFactory()


@pytest.fixture
def headers(user):
    return bearer(user)


@pytest.fixture
def node(anvil):
    return Node(anvil)
