"""Changes elections while they are read, through the services that the indexer calls. Prints a token, then works.

For each change the time of its commit is left in Redis under its revision, so that subscribers can tell the lag.
"""

import json
import random
import sys
import time

import django

django.setup()

import redis  # noqa: E402
from django.conf import settings  # noqa: E402
from django.db import transaction  # noqa: E402

from accounts.models import User  # noqa: E402
from accounts.tests.factories import access_token  # noqa: E402
from elections import services  # noqa: E402
from elections.models import ChainHead, Election  # noqa: E402
from elections.selectors import get_revision  # noqa: E402


def main(changes_per_second: float) -> None:
    client = redis.Redis.from_url(settings.REDIS_URL)
    user = User.objects.create(email="load@example.org")
    print(json.dumps({"token": access_token(user, exp=int(time.time()) + 7200)}), flush=True)
    rows = list(Election.objects.filter(status="open").values_list("chain_id", "contract", "election_id", "options"))
    number = ChainHead.objects.get().number
    nullifier = 0
    while True:
        begun = time.monotonic()
        number += 1
        origin = services.Origin(
            rows[0][0], rows[0][1], number, number.to_bytes(32, "big"), int(time.time()), b"t" * 32, 0
        )
        events = []
        _, _, election_id, options = random.choice(rows)
        for _ in range(random.randint(1, 20)):
            nullifier += 1
            events.append(services.VoteCast(origin, election_id, nullifier, random.randrange(options)))
        with transaction.atomic():
            changes = services.apply_events(events=events)
            changes += services.advance_head(
                chain_id=origin.chain_id,
                head=services.BlockRef(number, origin.block_hash, origin.block_timestamp),
                safe_block=number - 10,
                finalized_block=number - 20,
            )
        # The head's own changes take the later revision; both were committed now.
        now, newest = time.time(), get_revision()
        client.mset({f"load:committed:{revision}": now for revision in range(newest - 1, newest + 1)})
        services.publish_changes(changes)
        client.set("load:newest", newest)
        time.sleep(max(0, 1 / changes_per_second - (time.monotonic() - begun)))


if __name__ == "__main__":
    main(float(sys.argv[1]))
