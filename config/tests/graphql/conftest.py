"""Fixtures of GraphQL's tests."""

import pytest

from accounts.tests.factories import UserFactory
from config.graphql.views import hot_answers
from elections.hot_reads import hot_reads
from elections.metadata import hash_document
from elections.models import Metadata
from elections.services import apply_events
from elections.tests import factories as chain


@pytest.fixture(autouse=True)
def _cold():
    hot_answers.clear()
    hot_reads.clear()


@pytest.fixture
def admin():
    return UserFactory(role="admin")


@pytest.fixture
def hundred_elections():
    chain.head_at(60)
    events, documents = [], []
    for number in range(1, 121):
        document = {"title": f"Election {number}", "description": "x", "options": ["a", "b", "c"]}
        metadata_hash = hash_document(document)
        documents.append(Metadata(hash=metadata_hash, document=document))
        events.append(chain.created(number, metadata_hash=metadata_hash, log_index=number))
    Metadata.objects.bulk_create(documents)
    events += [chain.vote(number, number % 3, log_index=number) for number in range(1, 121)]
    apply_events(events=events)
