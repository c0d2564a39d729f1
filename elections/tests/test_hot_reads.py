"""Kept bodies: fresh after each push, built once for all, bounded, and served without Redis."""

import threading
import time

import pytest
from django.test import Client

from elections import hot_reads as module
from elections import services
from elections.hot_reads import HotReads, choose_encoding, hot_reads, invalidate
from elections.models import Election
from elections.tests import factories as make

pytestmark = pytest.mark.django_db


def builder(log: list[str], seconds: float = 0, text: str = "body"):
    def build() -> bytes:
        log.append(text)
        time.sleep(seconds)
        return text.encode()

    return build


def test_a_body_is_built_once_until_its_version_changes() -> None:
    reads, built = HotReads(), []
    for _ in range(3):
        reads.get("k", topic="t", build=builder(built), is_shared=False)
    assert len(built) == 1
    invalidate(["t"])
    time.sleep(module.LEASE_SECONDS * 1.5)
    assert reads.get("k", topic="t", build=builder(built, text="new"), is_shared=False).plain == b"new"
    assert built == ["body", "new"]


def test_after_a_push_no_process_serves_what_it_held() -> None:
    processes, built = [HotReads() for _ in range(3)], []
    for text in ("one", "two", "three"):
        invalidate(["t"])
        module.wait_out_lease()
        for reads in processes:
            assert reads.get("k", topic="t", build=builder(built, text=text), is_shared=True).plain == text.encode()
    assert built == ["one", "two", "three"]


def test_a_herd_of_processes_and_threads_builds_once() -> None:
    processes, built = [HotReads() for _ in range(4)], []
    start, found = threading.Barrier(16), []

    def read(reads: HotReads) -> None:
        start.wait()
        found.append(reads.get("k", topic="t", build=builder(built, seconds=0.2), is_shared=True).plain)

    threads = [threading.Thread(target=read, args=(processes[number % 4],)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built == ["body"]
    assert found == [b"body"] * 16


def test_a_builder_that_died_does_not_hold_up_the_others() -> None:
    invalidate(["t"])
    version = hot_reads.version_of("t")
    module.connection().set(f"{module.PREFIX}:building:k:{version.decode()}", b"1", px=200)
    assert HotReads().get("k", topic="t", build=builder([]), is_shared=True).plain == b"body"


def test_what_a_builder_raises_is_passed_on_and_not_kept() -> None:
    def fail() -> bytes:
        raise ValueError("no such election")

    with pytest.raises(ValueError, match="no such election"):
        hot_reads.get("k", topic="t", build=fail, is_shared=False)
    assert not hot_reads.bodies


def test_the_process_keeps_no_more_than_its_capacity() -> None:
    reads = HotReads(capacity=10)
    for number in range(100):
        reads.get(f"k{number}", topic="t", build=builder([]), is_shared=False)
    assert list(reads.bodies) == [f"k{number}" for number in range(90, 100)]


def test_what_is_read_stays_longest() -> None:
    reads = HotReads(capacity=3)
    for key in "abc":
        reads.get(key, topic="t", build=builder([]), is_shared=False)
    time.sleep(module.LEASE_SECONDS * 1.5)
    reads.get("a", topic="t", build=builder([]), is_shared=False)
    reads.get("d", topic="t", build=builder([]), is_shared=False)
    assert set(reads.bodies) == {"a", "c", "d"}


def test_without_redis_bodies_come_from_the_database(settings, monkeypatch) -> None:
    reads, built = HotReads(), []
    monkeypatch.setattr(
        module, "connection", lambda: module.redis.Redis(port=1, retry=module.Retry(module.NoBackoff(), 1))
    )
    for _ in range(50):
        assert reads.get("k", topic="t", build=builder(built), is_shared=True).plain == b"body"
    assert len(built) <= 2
    services.publish_changes(services.Changes((services.Change("x", frozenset({"votes"})),)))


def test_a_change_whose_publisher_died_shows_by_age(monkeypatch) -> None:
    reads, built = HotReads(), []
    reads.get("k", topic="t", build=builder(built), is_shared=False)
    monkeypatch.setattr(module, "MAX_AGE_SECONDS", 0)
    time.sleep(module.LEASE_SECONDS * 1.5)
    reads.get("k", topic="t", build=builder(built), is_shared=False)
    assert len(built) == 2


def test_each_kind_of_change_reaches_readers(client: Client) -> None:
    make.election(1, head=5)
    address = "/elections/31337-5fbdb231-1"
    changes = [
        lambda: make.head_at(10),
        lambda: services.apply_events(events=[make.vote(at=11)]),
        lambda: make.head_at(12, safe=5, finalized=1),
        lambda: services.refold(
            chain_id=make.CHAIN_ID, contract=make.CONTRACT, events_by_election={1: [make.created(1)]}
        ),
        lambda: services.apply_events(events=[make.cancelled(at=13)]),
    ]
    seen = [(client.get(address).content, client.get("/elections").content)]
    for change in changes:
        changed = change()
        services.publish_changes(changed)
        now = (client.get(address).content, client.get("/elections").content)
        assert now[0] != seen[-1][0]
        assert now[1] != seen[-1][1]
        seen.append(now)
    services.publish_changes(
        services.refold(chain_id=make.CHAIN_ID, contract=make.CONTRACT, events_by_election={1: []})
    )
    assert client.get(address).status_code == 404
    assert client.get("/elections").json()["results"] == []


@pytest.mark.slow
def test_a_thousand_query_strings_are_refused_and_keep_nothing(client: Client) -> None:
    make.election(1)
    client.get("/elections")
    for number in range(1000):
        assert client.get(f"/elections?utm={number}").status_code == 400
        assert len(hot_reads.bodies) == 1
    for number in range(2, 102):
        client.get(f"/elections?limit={1 + number % 100}&status=open")
        client.get(f"/elections/31337-5fbdb231-{number}")
    assert len(hot_reads.bodies) == 1
    assert choose_encoding.cache_info().maxsize == 256


def test_headers_choose_the_encoding() -> None:
    cases = {
        "": "",
        "gzip": "gzip",
        "gzip, deflate, br": "br",
        "GZIP;q=1.0": "gzip",
        "br;q=0, gzip;q=0.5": "gzip",
        "br; q=0.0": "",
        "identity": "",
        "*": "",
    }
    assert {header: choose_encoding(header) for header in cases} == cases


def test_bodies_are_dropped_on_commit_even_if_nobody_publishes(
    client: Client, django_capture_on_commit_callbacks
) -> None:
    make.election(1)
    before = client.get("/elections").content
    with django_capture_on_commit_callbacks(execute=True):
        services.apply_events(events=[make.vote()])
    module.wait_out_lease()
    assert client.get("/elections").content != before
    assert Election.objects.get().turnout == 1
