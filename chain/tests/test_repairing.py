"""Status, reindex, reconcile and replay, by their commands and services."""

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from audit.models import Entry
from chain.exceptions import RangeNeverCovered
from chain.models import Checkpoint, Contract, DeadLetter, EventLog
from chain.profiles import profiles
from chain.services import Configured, build_reader, reindex
from chain.tests.factories import Ground
from elections.models import Election

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _settings(settings: Any, ground: Ground) -> None:
    settings.CHAIN_RPC_URLS = [ground.url]
    settings.CHAIN_CONTRACTS = [f"psephos@{ground.manager}@1"]


@pytest.fixture
def voted(ground: Ground, index_once: Any) -> Ground:
    election_id = ground.create_election(blocks=1000)
    for sender in (1, 2, 3):
        ground.vote(election_id, sender % 3, sender=sender)
    index_once()
    return ground


def run(name: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command(name, *arguments, stdout=out)
    return out.getvalue()


def test_status_shows_position_coverage_and_lag(voted: Ground) -> None:
    voted.mine(3)
    status = json.loads(run("index_status", "--json", "--sample-seconds", "0"))
    assert status["lag_blocks"] == 3
    (contract,) = status["contracts"]
    assert contract["missing"] == [[voted.height - 2, voted.height]]
    assert contract["events"]["VoteCast"] == 3
    assert "lag        3 blocks" in run("index_status", "--sample-seconds", "0")


def test_status_of_a_chain_never_indexed_says_what_to_do() -> None:
    with pytest.raises(CommandError, match="index_chain"):
        run("index_status")


def test_status_of_a_halted_index_fails_with_the_reason(voted: Ground) -> None:
    from django.utils import timezone

    Checkpoint.objects.update(halted_at=timezone.now(), halt_code="x", halt_reason="the reason")
    with pytest.raises(CommandError, match="the reason"):
        run("index_status", "--sample-seconds", "0")


def test_reindex_mends_lost_surplus_and_changed_rows(voted: Ground) -> None:
    votes = EventLog.objects.filter(event="VoteCast").order_by("block_number")
    lost, changed = votes[0], votes[1]
    good = list(Election.objects.values("votes", "turnout", "status", "facts"))
    EventLog.objects.filter(pk=lost.pk).delete()
    EventLog.objects.filter(pk=changed.pk).update(data=b"\x00" * 32)
    surplus = votes.last()
    surplus.log_index = 77
    surplus.save(force_insert=True)
    Election.objects.update(votes=[9, 9, 9])
    before = list(EventLog.objects.values())

    out = run("reindex", "--from", "1", "--to", str(voted.height), "--dry-run")
    assert "3 would be mended" in out
    assert list(EventLog.objects.values()) == before

    assert "3 mended" in run("reindex", "--from", "1", "--to", str(voted.height))
    assert list(Election.objects.values("votes", "turnout", "status", "facts")) == good
    assert EventLog.objects.canonical().filter(event="VoteCast").count() == 3
    assert Entry.objects.filter(action="chain.range.reindexed").exists()
    assert "0 mended" in run("reindex", "--from", "1", "--to", str(voted.height))


def test_reindex_of_a_range_never_covered_says_so(voted: Ground) -> None:
    with pytest.raises(RangeNeverCovered, match="never indexed"):
        reindex(reader=build_reader(), chain_id=31337, low=1, high=voted.height + 5)
    with pytest.raises(CommandError, match="never indexed"):
        run("reindex", "--from", "1", "--to", str(voted.height + 5))


def test_reconcile_finds_no_difference_then_a_wrong_row(voted: Ground) -> None:
    assert "0 differences" in run("reconcile", "--rpc", voted.url)
    assert '"differences": []' in run("reconcile", "--json", "--rpc", voted.url)
    Election.objects.update(turnout=99, votes=[97, 1, 1])
    with pytest.raises(CommandError, match="differ"):
        run("reconcile", "--rpc", voted.url)
    assert Checkpoint.objects.get().reconcile_differences == 1
    assert Entry.objects.filter(action="chain.elections.reconciled").count() == 3


def test_a_log_that_does_not_decode_is_kept_and_replayed(
    voted: Ground, index_once: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = profiles()["psephos"]
    vote = next(decoder for decoder in profile.decoders.values() if decoder.name == "VoteCast")
    good = list(Election.objects.values("votes", "turnout"))
    for model in (EventLog, Checkpoint, Election):
        model.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE chain_coverage, chain_block")
    decoders = dict(profile.decoders)
    del decoders[vote.topic]
    monkeypatch.setitem(profile.__dict__, "decoders", decoders)
    index_once()
    assert DeadLetter.objects.count() == 3
    assert "topic" in DeadLetter.objects.first().reason
    assert Election.objects.get().turnout == 0
    assert run("replay_dead_letters") == "0 replayed, 3 still do not decode\n"

    decoders[vote.topic] = vote
    assert run("replay_dead_letters") == "3 replayed, 0 still do not decode\n"
    assert Entry.objects.filter(action="chain.dead_letters.replayed").exists()
    assert list(Election.objects.values("votes", "turnout")) == good
    assert run("replay_dead_letters") == "0 replayed, 0 still do not decode\n"


def test_a_contract_added_later_is_indexed_from_its_deployment(voted: Ground, index_once: Any) -> None:
    second = voted.deploy("TotingV2")
    voted.transact("createElection", b"\x22" * 32, "0x" + "0" * 40, 10, 900, to=second, contract="TotingV2")
    index_once()
    contracts = [Configured("psephos", voted.manager, 1), Configured("toting-v2", second, 1)]
    index_once(contracts=contracts)
    assert Election.objects.count() == 2
    toting = Contract.objects.get(profile="toting-v2")
    election = Election.objects.get(contract=toting.address)
    assert (election.start_block, election.end_block, election.options) == (10, 900, 2)
