"""From a transaction to the screen: a vote on the chain, and the bar grows in a browser without a reload."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connections

from chain.tests.factories import Ground
from deploy.local import services
from elections.models import Election
from elections.services import store_metadata
from elections.tests.browser import browse
from elections.tests.conftest import site

__all__ = ["site"]

pytestmark = pytest.mark.slow
QUESTION = {"title": "Shall the harbour be dredged?", "description": "", "options": ["Yes", "No", "Later"]}
BAR = '[data-option="1"] [data-fill]'


@pytest.fixture
def ground(anvil: str, site: str) -> Ground:
    ground = Ground(anvil)
    ground.deploy_manager()
    ground.create_election(metadata_hash=store_metadata(document=QUESTION), blocks=500)
    ground.mine(2)
    return ground


@pytest.fixture
def indexer(ground: Ground, tmp_path: Path) -> Iterator[None]:
    """`manage.py index_chain` as it runs in production, until the election is there."""
    name = connections["default"].settings_dict["NAME"]
    environment = os.environ | {
        "DATABASE_URL": urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl(),
        "CHAIN_RPC_URLS": ground.url,
        "CHAIN_CONTRACTS": f"psephos@{ground.manager}@1",
    }
    log = tmp_path / "indexer.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "index_chain"],
            env=environment,
            stdout=output,
            stderr=output,
            cwd=services.ROOT,
        )
    services.wait_until("indexer", lambda: Election.objects.filter(status="open").exists(), process, log, 90)
    yield
    services.Service("indexer", "", process).stop(10)


def test_a_vote_on_the_chain_makes_the_bar_grow_without_a_reload(site: str, ground: Ground, indexer: None) -> None:
    election = Election.objects.get()
    (result,) = browse(
        {
            "url": f"{site}/e/{election.public_id}",
            "steps": [
                {"do": "wait", "selector": "[data-connection]", "attribute": "data-connection", "value": "live"},
                {"do": "mark"},
                {"do": "attribute", "selector": BAR, "name": "width"},
                {"do": "outside", "name": "vote"},
                {"do": "wait", "selector": "[data-turnout]", "text": "1"},
                {"do": "wait", "selector": BAR, "attribute": "width", "value": "100.000%"},
                {"do": "outside", "name": "mine"},
                {"do": "wait", "selector": "[data-block]", "text": f"{ground.height + 6:,}"},
                {"do": "isUnreloaded"},
                {"do": "text", "selector": "h1"},
            ],
        },
        vote=lambda: ground.vote(int(election.election_id), 1),
        mine=lambda: ground.mine(5),
    )
    _, _, before, _, _, _, _, _, is_unreloaded, title = result["seen"]
    assert before == "0%"
    assert is_unreloaded
    assert title == [QUESTION["title"]]
    assert result["errors"] == []
