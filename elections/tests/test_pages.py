"""The public pages, as HTML and in a real browser."""

import os
from pathlib import Path

import pytest
from django.test import Client

from elections import services
from elections.tests import factories as make
from elections.tests.browser import browse

BRIDGE = {
    "title": "Where should the new bridge stand?",
    "description": "The council has money for one bridge.\n\nThe river is narrowest at the mill.",
    "options": ["North quay", "The old mill", "South park"],
}
BUDGET = {
    "title": "Participatory budget 2027",
    "description": "Which proposal gets the <b>first</b> hundred thousand?",
    "options": ["A playground by the school", "Trees along the ring road", "Night buses on Fridays", "A library van"],
}
CHAIR = {
    "title": "Chair of the housing cooperative",
    "description": "For two years.",
    "options": ["M. Petrova", "I. Kolev"],
}
SCHOOL = {"title": "Should lessons begin at nine?", "description": "", "options": ["Yes", "No"]}
PAGE = "/e/31337-5fbdb231-1"


def several_elections() -> None:
    """Elections in every status, with votes."""
    keys = [services.store_metadata(document=one) for one in (BRIDGE, BUDGET, CHAIR, SCHOOL)]
    make.head_at(200, safe=190, finalized=180)
    events: list = [
        make.created(1, at=3, end_block=1800, metadata_hash=keys[0], options=3),
        make.created(2, at=4, end_block=260, metadata_hash=keys[1], options=4),
        make.created(3, at=5, end_block=150, metadata_hash=keys[2], options=2),
        make.created(4, at=6, start_block=400, end_block=900, metadata_hash=keys[3], options=2),
        make.created(5, at=7, end_block=120, options=2),
        make.created(6, at=8, end_block=900, options=2),
    ]
    for election_id, counts in {1: (412, 965, 287), 2: (120, 310, 204, 88), 3: (53, 41), 5: (7, 9)}.items():
        for choice, count in enumerate(counts):
            events += [make.vote(election_id, choice, at=100 + election_id) for _ in range(count)]
    events += [make.tally(3, (53, 41), at=152), make.cancelled(6, at=60)]
    services.apply_events(events=events)


@pytest.mark.django_db
def test_the_board_shows_elections_by_what_can_be_done(client: Client) -> None:
    several_elections()
    html = client.get("/").content.decode()
    order = [
        html.index(word) for word in ("Open now", "budget 2027", "new bridge", "Coming up", "begin at nine", "Ended")
    ]
    assert order == sorted(order)
    assert "Election 5" in html
    assert "1,664" in html
    assert html.count("<svg") >= 6


@pytest.mark.django_db
def test_the_page_of_an_election_escapes_what_people_wrote(client: Client) -> None:
    several_elections()
    html = client.get("/e/31337-5fbdb231-2").content.decode()
    assert "&lt;b&gt;first&lt;/b&gt;" in html
    assert "<b>first" not in html
    assert "Finalized" in html
    response = client.get(PAGE)
    policy = response["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "style=" not in response.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/e/31337-5fbdb231-99", "/e/nonsense", "/?status=lost", "/?cursor=x"])
def test_what_is_missing_is_a_page_with_404(client: Client, address: str) -> None:
    response = client.get(address)
    assert response.status_code == 404
    assert b"Not found" in response.content


@pytest.mark.django_db
def test_an_empty_board_and_a_status_by_pages(client: Client) -> None:
    assert b"No block yet" in client.get("/").content
    make.head_at(20)
    services.apply_events(events=[make.created(n, at=n) for n in range(1, 31)])
    html = client.get("/?status=open").content.decode()
    assert html.count("<article") == 24
    assert 'rel="next"' in html


@pytest.mark.django_db
def test_the_queries_of_the_board_do_not_grow(client: Client, django_assert_max_num_queries) -> None:
    several_elections()
    with django_assert_max_num_queries(16):
        client.get("/")


SHOTS = os.environ.get("SCREENSHOTS", "")


@pytest.mark.slow
def test_the_pages_in_a_browser(site: str, tmp_path: Path) -> None:
    several_elections()
    shots = Path(SHOTS) if SHOTS else tmp_path

    def steps(name: str) -> list[dict]:
        shot = {"do": "screenshot", "path": str(shots / f"{name}.png"), "full": "board" not in name}
        return [{"do": "axe"}, {"do": "overflow"}, shot]

    live = {"do": "wait", "selector": "[data-connection]", "attribute": "data-connection", "value": "live"}
    results = browse(
        {"url": site, "steps": [live, *steps("board")]},
        {"url": site, "dark": True, "steps": [live, *steps("board-dark")]},
        {"url": site, "width": 360, "height": 780, "steps": steps("phone")},
        {"url": f"{site}{PAGE}", "steps": [live, *steps("election")]},
        {"url": f"{site}{PAGE}", "dark": True, "width": 360, "height": 780, "steps": steps("election-phone-dark")},
        {"url": f"{site}/e/nope", "steps": steps("missing")},
        {"url": site, "javascript": False, "steps": [{"do": "text", "selector": "h3"}]},
        {"url": site, "steps": [{"do": "tab", "times": 12}, {"do": "press", "key": "Enter"}]},
    )
    for result in results[:6]:
        violations, has_overflow = [seen for seen in result["seen"] if seen is not None and seen is not True][:2]
        assert violations == []
        assert has_overflow is False
        assert result["outside"] == []
    assert [error for result in results[:5] for error in result["errors"] if "/ws/chain" not in error] == []
    assert BRIDGE["title"] in results[6]["seen"][0]
    focused = results[7]["seen"][0]
    assert focused[0]["text"] == "Skip to content"
    assert BUDGET["title"] in [one["text"] for one in focused]
    assert all(one["isOutlined"] for one in focused)
    for result, status in zip(results, [200, 200, 200, 200, 200, 404, 200, 200], strict=True):
        assert result["status"] == status


@pytest.mark.slow
def test_a_bar_grows_without_a_reload(site: str) -> None:
    several_elections()

    def vote_and_publish() -> None:
        services.publish_changes(services.apply_events(events=[make.vote(1, 0, at=201) for _ in range(1000)]))

    bar = '[data-option="0"] [data-fill]'
    (result,) = browse(
        {
            "url": f"{site}{PAGE}",
            "steps": [
                {"do": "wait", "selector": "[data-connection]", "attribute": "data-connection", "value": "live"},
                {"do": "mark"},
                {"do": "attribute", "selector": bar, "name": "width"},
                {"do": "outside", "name": "vote"},
                {"do": "wait", "selector": "[data-turnout]", "text": "2,664"},
                {"do": "attribute", "selector": bar, "name": "width"},
                {"do": "isUnreloaded"},
            ],
        },
        vote=vote_and_publish,
    )
    _, _, before, _, _, after, is_unreloaded = result["seen"]
    assert (before, after) == ("24.760%", "53.003%")
    assert is_unreloaded
