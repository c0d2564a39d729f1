"""The whole way: a vote ends on the node, and each subscriber has one mail and one SMS from a real worker."""

from collections import Counter

import pytest

from chain.tests.conftest import ground, index_once, make_indexer  # noqa: F401
from elections.metadata import hash_document
from elections.models import Metadata
from jobs.tests.worker import celery_worker, eventually
from notifications.models import Notification
from notifications.services.kicking import send
from notifications.tests.factories import subscriber
from notifications.tests.mocks import SENDGRID_KEY, TWILIO_SID, TWILIO_TOKEN

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def test_a_vote_ends_on_chain_and_each_subscriber_hears_once(
    ground,  # noqa: F811
    index_once,  # noqa: F811
    service_folder,
    sendgrid,
    twilio,
    settings,
):
    settings.ELECTIONS_ANNOUNCE_FINALITY = "safe"
    document = {"title": "Къде да е паркът?", "description": "", "options": ["River", "Yard", "None"]}
    key = hash_document(document)
    Metadata.objects.create(hash=key, document=document)
    phones = ["+359881234567", "+359887654321"]
    people = [
        subscriber(channels=["email", "sms"], phone=phone, language="bg", time_zone="Europe/Sofia") for phone in phones
    ]
    election_id = ground.create_election(start_in=1, blocks=8, options=3, metadata_hash=key)
    for sender, choice in ((1, 1), (2, 1), (3, 0)):
        ground.vote(election_id, choice, sender=sender)
    ground.mine(10)
    ground.transact("finalise", election_id)
    index_once()
    ground.mine(100)
    env = {
        "NOTIFICATIONS_EMAIL_PROVIDER": "sendgrid",
        "SENDGRID_API_KEY": SENDGRID_KEY,
        "SENDGRID_API_URL": f"{sendgrid.url}/v3/",
        "SENDGRID_WEBHOOK_KEY": "x",
        "NOTIFICATIONS_SMS_PROVIDER": "twilio",
        "TWILIO_ACCOUNT_SID": TWILIO_SID,
        "TWILIO_AUTH_TOKEN": TWILIO_TOKEN,
        "TWILIO_FROM": "+15005550006",
        "TWILIO_API_URL": twilio.url,
    }
    with celery_worker(service_folder, queues="notifications", include="", concurrency=2, env=env):
        index_once()
        index_once()
        wanted = Notification.objects.filter(event="tallied", status="sent")
        eventually(lambda: wanted.count() == 4 or send() is not None, "all are sent")
        send()
    mails = [taken for taken in sendgrid.taken if taken["mail"]["subject"].startswith("Резултат")]
    texts = [taken for taken in twilio.taken if taken["body"].startswith("Резултат")]
    assert Counter(mail["to"] for mail in mails) == {person.email: 1 for person in people}
    assert Counter(text["to"] for text in texts) == dict.fromkeys(phones, 1)
    assert mails[0]["mail"]["subject"] == "Резултат: Къде да е паркът?"
    assert "Yard: 2 (66,7\u00a0%)" in mails[0]["mail"]["content"][0]["value"]
    assert texts[0]["body"].startswith("Резултат от „Къде да е паркът?“: Yard.")
