"""Callers of each kind, and what a door needs to be gone through (`audit_doors`)."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from unittest import mock

from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts.models import RevokedToken, Role, SignIn, User
from accounts.services import create_admin
from accounts.services.refresh_tokens import issue_refresh_token
from accounts.tests.factories import IdentityFactory, SignInFactory, UserFactory, access_token, bearer
from apikeys.models import ApiKeyUsage
from apikeys.tests.factories import make_key
from audit.services import sequence_all
from config.celery import app as celery
from config.tests.graphql import ask
from elections import services as elections
from elections.metadata import hash_document
from elections.tests import factories as chain
from jobs.models import Job
from jobs.services import run_job, start
from jobs.tests.factories import job_type
from notifications.models import Notification, Subscription
from notifications.services.subscribing import unsubscribe_token
from notifications.tests import test_tracking as tracking
from notifications.tests.factories import notification, subscriber
from zk.client import VoterIdentity

PASSWORD = "correct horse battery staple"
DOCUMENT = {"title": "T", "description": "D", "options": ["a", "b"]}
NEW_ELECTION = {"metadata": DOCUMENT, "start_block": 100, "end_block": 200}


@dataclass(frozen=True)
class Door:
    """Go through it by `enter`, and an entry of this action is there."""

    action: str
    enter: Callable[["World"], Any]


@dataclass(frozen=True)
class Unchanging:
    """It changes nothing that lasts, for this reason."""

    reason: str


@dataclass(frozen=True)
class Elsewhere:
    """The named test goes through it and looks for an entry of this action."""

    action: str
    test: str


class World:
    """A caller of each kind, and what a test's fixtures hold."""

    def __init__(self, fixture: Callable[[str], Any]) -> None:
        self.fixture = fixture
        self.client = Client()
        self.admin = UserFactory(role=Role.ADMIN)
        self.citizen = UserFactory()

    def send(self, method: str, path: str, body: Any = None, *, user: User | None = None) -> Any:
        response = getattr(self.client, method)(
            path, json.dumps(body or {}), content_type="application/json", headers=bearer(user or self.admin)
        )
        assert response.status_code < 300, response.content
        return response

    def browser(self, user: User | None = None) -> Client:
        browser = Client()
        browser.force_login(user or self.admin)
        return browser

    def act(self, place: str, action: str, row: Any) -> None:
        """Run an action of the Django admin over one row."""
        form = {"action": action, "_selected_action": [str(row.pk)], "confirmed": "yes"}
        response = self.browser().post(f"/admin/{place}/", form)
        assert response.status_code in (200, 302), response.content

    def mutate(self, query: str, *, user: User | None = None, **variables: Any) -> None:
        body = ask(self.client, query, variables or None, headers=bearer(user or self.admin)).json()
        assert "errors" not in body, body


def queued_job(world: World) -> Job:
    return start(type="jobs.self_test", input={"steps": 1}, owner=world.admin)


def election(world: World, **members: Any) -> Any:
    return chain.election(**{"start_block": 50, "end_block": 100} | members)


def secret_election(world: World) -> Any:
    world.fixture("settings").ELECTIONS_CENSUS_CLOSING_BLOCKS = 5
    return election(world, verifier="0x" + "ab" * 20)


def register_voter(world: World, made: Any) -> None:
    IdentityFactory(user=world.citizen)
    body = VoterIdentity.generate().registration(elections.scope_of(made))
    world.send("post", f"/elections/{made.public_id}/census", body, user=world.citizen)


def close_census(world: World) -> None:
    made = secret_election(world)
    register_voter(world, made)
    world.send("post", f"/elections/{made.public_id}/census/close")


def register_voter_by_graphql(world: World) -> None:
    made = secret_election(world)
    IdentityFactory(user=world.citizen)
    body = VoterIdentity.generate().registration(elections.scope_of(made))
    query = "mutation ($id: ID!, $input: Registration!) { registerVoter(id: $id, input: $input) { index } }"
    given = {"publicKey": body["public_key"], "signature": body["signature"]}
    world.mutate(query, user=world.citizen, id=made.public_id, input=given)


def close_census_by_graphql(world: World) -> None:
    made = secret_election(world)
    register_voter(world, made)
    world.mutate("mutation ($id: ID!) { closeCensus(id: $id) { job { jobId } } }", id=made.public_id)


def ended_election(world: World) -> Any:
    made = election(world, start_block=10, end_block=20)
    chain.head_at(25)
    return made


def create_election(world: World) -> None:
    chain.head_at(2)
    world.send("post", "/elections", NEW_ELECTION)


def bring_metadata(world: World) -> str:
    digest = f"0x{hash_document(DOCUMENT).hex()}"
    election(world, metadata_hash=hash_document(DOCUMENT))
    return digest


def log_in_badly(world: World) -> None:
    response = world.client.post("/admin/login/", {"username": "nobody@example.org", "password": "wrong"})
    assert response.status_code == 401


def log_in_and_out(world: World) -> None:
    User.objects.update(role=Role.CITIZEN)  # the first administrator alone may be made so
    create_admin(email="boss@example.org", password=PASSWORD)
    form = {"username": "boss@example.org", "password": PASSWORD}
    assert world.client.post("/admin/login/", form).status_code == 302
    assert SignIn.objects.get(method=SignIn.Method.PASSWORD)
    assert world.client.post("/admin/logout/").status_code in (200, 302)


def refresh(world: World) -> None:
    body = {"refresh_token": issue_refresh_token(sign_in=SignInFactory(method=SignIn.Method.PASSWORD))}
    assert world.client.post("/auth/refresh", body, "application/json").status_code == 200


def revoke(world: World) -> None:
    token = access_token(world.citizen)
    assert world.client.post("/auth/revoke", {"token": token}, "application/json").status_code == 200


def subscription(world: World) -> Subscription:
    subscriber()
    made = Subscription.objects.get()
    world.citizen = made.user
    return made


def send_code(world: World) -> str:
    """Set a telephone number; return the code that was sent there."""
    with mock.patch("notifications.services.subscribing.secrets.randbelow", return_value=123_456):
        world.send("put", "/notifications/contacts/sms", {"address": "+359881234567"}, user=world.citizen)
    return "123456"


def confirm(world: World) -> None:
    world.send("post", "/notifications/contacts/sms/confirm", {"code": send_code(world)}, user=world.citizen)


def forget_contact(world: World) -> None:
    confirm(world)
    world.send("delete", "/notifications/contacts/sms", user=world.citizen)


def unsubscribe_by_link(world: World) -> None:
    made = subscription(world)
    token = unsubscribe_token(user_id=made.user_id, channel="email")
    assert world.client.post(f"/notifications/unsubscribe/{token}").status_code == 200


def sendgrid_reports(world: World) -> None:
    world.fixture("sendgrid")
    tracking._key.__wrapped__(world.fixture("settings"))
    row = tracking.sent()
    answer = tracking.post_sendgrid(world.client, [tracking.event(row, "delivered")])
    assert answer.status_code == 204


def twilio_reports(world: World) -> None:
    world.fixture("twilio")
    row = tracking.sent(channel="sms")
    values = {"MessageSid": row.provider_message_id, "MessageStatus": "delivered", "AccountSid": "AC0"}
    assert tracking.post_twilio(world.client, row, values).status_code == 204


def admin_form(world: World, email: str, role: str) -> dict[str, str]:
    return {"email": email, "role": role, "is_active": "on", "_save": "Save"} | {
        f"{prefix}-{name}": "0"
        for prefix in ("identities", "sign_ins", "identity_set", "signin_set")
        for name in ("TOTAL_FORMS", "INITIAL_FORMS")
    }


def change_user(world: World) -> None:
    person = UserFactory(role=Role.VIEWER)
    form = admin_form(world, "other@example.org", "viewer")
    response = world.browser().post(f"/admin/accounts/user/{person.pk}/change/", form)
    assert response.status_code == 302, response.content.decode()[-2000:]


def failed_notification(world: World) -> Notification:
    return notification(status="failed")


def purge_tokens(world: World) -> None:
    RevokedToken.objects.create(jti="x", expires_at=timezone.now() - timedelta(days=1))
    celery.tasks["accounts.purge_expired"]()


def delete_usage(world: World) -> None:
    key, _ = make_key()
    long_ago = timezone.now() - timedelta(days=4000)
    ApiKeyUsage.objects.bulk_create([ApiKeyUsage(key=key, hour=long_ago, route="x", status=200, requests=1)])
    celery.tasks["apikeys.delete_old_usage"]()


def purge_jobs(world: World) -> None:
    with job_type():
        run_job(job_id=start(type="tests.noop", input={}).pk, has_lease_thread=False)
    world.fixture("settings").JOBS_RETENTION_DAYS = -1
    celery.tasks["jobs.purge"]()


def run_a_job(world: World) -> None:
    celery.tasks["jobs.run"](str(queued_job(world).pk))


def recover_jobs(world: World) -> None:
    # A worker died in the job's last attempt: it is parked.
    job, ago = queued_job(world), timezone.now() - timedelta(minutes=1)
    Job.objects.filter(pk=job.pk).update(
        status="running", attempts=job.max_attempts, attempt_started_at=ago, lease_expires_at=ago
    )
    celery.tasks["jobs.recover"]()


def purge_notifications(world: World) -> None:
    notification(status="sent")
    world.fixture("settings").NOTIFICATIONS_RETENTION_DAYS = -1
    celery.tasks["notifications.purge"]()


def deliver(world: World) -> None:
    world.fixture("sendgrid")
    notification()
    celery.tasks["notifications.deliver"]()


def sequenced(world: World) -> None:
    # The sequencer sees what is committed: these doors are entered outside of a test's transaction.
    make_key()
    assert sequence_all()


def anchor(world: World) -> None:
    sequenced(world)
    world.fixture("settings").AUDIT_ANCHOR_CONTRACT = "0x" + "1" * 40
    celery.tasks["chain.anchor_audit"]()


def new_password(world: World) -> None:
    User.objects.update(role=Role.CITIZEN)
    with mock.patch("sys.stdin", SimpleNamespace(readline=lambda: PASSWORD)):
        call_command("create_admin", email="boss@example.org", password_stdin=True)


def link_person(world: World) -> None:
    call_command("link_staff", issuer="https://eid.example", subject="7", email="a@example.org", role="viewer")


def command_election(world: World) -> None:
    chain.head_at(2)
    call_command("create_election", "T", "--option", "a", "--option", "b")
