"""The indexer against a real node: backfill, head, reorgs, restarts."""

import pytest

from chain.models import Block, Checkpoint, Coverage, EventLog
from chain.tests.factories import Ground
from elections.models import Election


def test_an_election_lives_from_contract_to_row(ground: Ground, index_once) -> None:
    election_id = ground.create_election(options=3)
    for sender, choice in ((1, 0), (2, 2), (3, 2)):
        ground.vote(election_id, choice, sender=sender)
    index_once()
    election = Election.objects.get()
    assert election.contract == ground.manager
    assert list(election.votes) == [1, 0, 2]
    assert election.turnout == 3
    assert EventLog.objects.filter(event="VoteCast").count() == 3
    assert Checkpoint.objects.get().block_number == ground.height


def test_indexing_twice_changes_nothing(ground: Ground, index_once) -> None:
    election_id = ground.create_election()
    ground.vote(election_id, 1)
    index_once()
    before = Election.objects.values().get(), EventLog.objects.count(), Block.objects.count()
    index_once()
    assert (Election.objects.values().get(), EventLog.objects.count(), Block.objects.count()) == before


def test_ranges_and_blocks_give_the_same_rows(ground: Ground, index_once) -> None:
    election_id = ground.create_election(blocks=1000)
    for sender in range(1, 6):
        ground.vote(election_id, sender % 3, sender=sender)
        ground.mine(7)
    index_once()
    above = list(EventLog.objects.order_by("block_number", "log_index").values())
    votes = list(Election.objects.get().votes)
    for model in (EventLog, Block, Coverage, Checkpoint, Election):
        model.objects.all().delete()
    ground.mine(130)
    index_once(range_blocks=10)
    assert list(EventLog.objects.order_by("block_number", "log_index").values()) == above
    assert list(Election.objects.get().votes) == votes
    assert list(Coverage.objects.values_list("from_block", "to_block")) == [(1, ground.height)]


def test_a_reorg_that_takes_a_vote_away_is_followed(ground: Ground, index_once) -> None:
    election_id = ground.create_election(blocks=1000)
    ground.vote(election_id, 0, sender=1)
    ground.vote(election_id, 1, sender=2)
    index_once()
    assert list(Election.objects.get().votes) == [1, 1, 0]
    ground.call("anvil_reorg", 1, [])
    ground.mine(1)
    index_once()
    assert list(Election.objects.get().votes) == [1, 0, 0]
    assert EventLog.objects.canonical().filter(event="VoteCast").count() == 1
    assert EventLog.objects.exclude(retracted_at=None).count() == 1


@pytest.mark.slow
def test_a_rollback_is_followed_once_it_is_believed(ground: Ground, index_once) -> None:
    election_id = ground.create_election(blocks=1000)
    ground.vote(election_id, 0, sender=1)
    ground.vote(election_id, 1, sender=2)
    index_once()
    ground.call("anvil_rollback", 1)
    index_once()
    assert list(Election.objects.get().votes) == [1, 0, 0]
    assert Checkpoint.objects.get().block_number == ground.height
