"""Every door through which something changes, and how to go through it: what `test_audit_doors` exercises.

A door is listed with the beginning of the action that it must leave in the audit log. `Unchanging` is one that looks
like a change and is none; `Elsewhere` is one whose exercise takes a chain, with the test that goes through it.
"""

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
from zk.tests.inputs import voice_input

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
        form = {"action": action, "_selected_action": [str(row.pk)]}
        response = self.browser().post(f"/admin/{place}/", form)
        assert response.status_code in (200, 302), response.content

    def mutate(self, query: str, **variables: Any) -> None:
        body = ask(self.client, query, variables or None, headers=bearer(self.admin)).json()
        assert "errors" not in body, body


# --- preparations ---


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


# --- the doors ---

ROUTES: dict[str, Door | Unchanging | Elsewhere] = {
    "POST auth/logout": Door("accounts.signed_out", lambda w: w.send("post", "/auth/logout")),
    "POST auth/refresh": Door("accounts.refresh_token.rotated", refresh),
    "POST auth/revoke": Door("accounts.token.revoked", revoke),
    "POST auth/backchannel-logout": Elsewhere(
        "accounts.signed_out",
        "accounts/tests/test_hostile_provider.py::test_a_logout_token_ends_the_sessions_that_it_names",
    ),
    "POST admin/users": Door(
        "accounts.user.created", lambda w: w.send("post", "/admin/users", {"email": "n@example.org", "role": "viewer"})
    ),
    "PUT admin/users/<uuid:user_id>": Door(
        "accounts.user.updated", lambda w: w.send("put", f"/admin/users/{w.citizen.pk}", {"role": "viewer"})
    ),
    "DELETE admin/users/<uuid:user_id>": Door(
        "accounts.user.deleted", lambda w: w.send("delete", f"/admin/users/{w.citizen.pk}")
    ),
    "POST admin/login/": Door("accounts.sign_in.refused", log_in_badly),
    "POST admin/logout/": Door("accounts.signed_out", log_in_and_out),
    "POST admin/api-keys": Door(
        "apikeys.key.created",
        lambda w: w.send("post", "/admin/api-keys", {"name": "x", "scopes": ["elections:read"]}),
    ),
    "PATCH admin/api-keys/<uuid:key_id>": Door(
        "apikeys.key.changed",
        lambda w: w.send("patch", f"/admin/api-keys/{make_key(owner=w.admin)[0].pk}", {"name": "y"}),
    ),
    "DELETE admin/api-keys/<uuid:key_id>": Door(
        "apikeys.key.revoked", lambda w: w.send("delete", f"/admin/api-keys/{make_key(owner=w.admin)[0].pk}")
    ),
    "POST admin/api-keys/<uuid:key_id>/rotate": Door(
        "apikeys.key.rotated", lambda w: w.send("post", f"/admin/api-keys/{make_key(owner=w.admin)[0].pk}/rotate")
    ),
    "DELETE jobs/<uuid:job_id>": Door("jobs.job.cancelled", lambda w: w.send("delete", f"/jobs/{queued_job(w).pk}")),
    "POST jobs/<str:type>": Door("jobs.job.started", lambda w: w.send("post", "/jobs/jobs.self_test", {"steps": 1})),
    "PUT notifications/preferences": Door(
        "notifications.preferences.changed",
        lambda w: w.send(
            "put", "/notifications/preferences", {"language": "bg", "time_zone": "Europe/Sofia"}, user=w.citizen
        ),
    ),
    "POST notifications/subscriptions": Door(
        "notifications.subscription.created",
        lambda w: w.send(
            "post", "/notifications/subscriptions", {"events": ["created"], "channels": ["email"]}, user=w.citizen
        ),
    ),
    "PUT notifications/subscriptions/<int:subscription_id>": Door(
        "notifications.subscription.changed",
        lambda w: w.send(
            "put",
            f"/notifications/subscriptions/{subscription(w).pk}",
            {"events": ["tallied"], "channels": ["email"]},
            user=w.citizen,
        ),
    ),
    "DELETE notifications/subscriptions/<int:subscription_id>": Door(
        "notifications.subscription.removed",
        lambda w: w.send("delete", f"/notifications/subscriptions/{subscription(w).pk}", user=w.citizen),
    ),
    "PUT notifications/contacts/<str:channel>": Door("notifications.contact.code_sent", send_code),
    "POST notifications/contacts/<str:channel>/confirm": Door("notifications.contact.confirmed", confirm),
    "DELETE notifications/contacts/<str:channel>": Door("notifications.contact.removed", forget_contact),
    "POST notifications/unsubscribe/<str:token>": Door("notifications.unsubscribed", unsubscribe_by_link),
    "POST notifications/webhooks/sendgrid": Door("notifications.notification.delivered", sendgrid_reports),
    "POST notifications/webhooks/twilio/<uuid:notification_id>": Door(
        "notifications.notification.delivered", twilio_reports
    ),
    "POST api/zk/<str:circuit>": Door(
        "jobs.job.started", lambda w: w.send("post", "/api/zk/voice", voice_input(), user=w.citizen)
    ),
    "POST api/zk/<str:circuit>/verify": Unchanging("checks a proof and forgets it"),
    "POST elections": Door("elections.election.requested", create_election),
    "POST elections/<str:id>/census": Door(
        "elections.census.registered", lambda w: register_voter(w, secret_election(w))
    ),
    "POST elections/<str:id>/census/close": Door("elections.census.closed", close_census),
    "POST elections/<str:id>/cancel": Door(
        "elections.election.", lambda w: w.send("post", f"/elections/{election(w).public_id}/cancel")
    ),
    "POST elections/<str:id>/finalise": Door(
        "elections.election.", lambda w: w.send("post", f"/elections/{ended_election(w).public_id}/finalise")
    ),
    "PUT metadata/{hash}": Door(
        "elections.metadata.stored", lambda w: w.send("put", f"/metadata/{bring_metadata(w)}", DOCUMENT)
    ),
    "POST graphql": Unchanging("its mutations are listed one by one"),
}

MUTATIONS: dict[str, Door | Unchanging | Elsewhere] = {
    "createUser": Door(
        "accounts.user.created",
        lambda w: w.mutate('mutation { createUser(email: "n@example.org", role: VIEWER) { user { id } } }'),
    ),
    "setRole": Door(
        "accounts.user.updated",
        lambda w: w.mutate(f'mutation {{ setRole(id: "{w.citizen.pk}", role: VIEWER) {{ user {{ id }} }} }}'),
    ),
    "deleteUser": Door(
        "accounts.user.deleted", lambda w: w.mutate(f'mutation {{ deleteUser(id: "{w.citizen.pk}") {{ id }} }}')
    ),
    "startJob": Door(
        "jobs.job.started",
        lambda w: w.mutate('mutation { startJob(type: "jobs.self_test", input: {steps: 1}) { job { id } } }'),
    ),
    "cancelJob": Door(
        "jobs.job.cancelled",
        lambda w: w.mutate(f'mutation {{ cancelJob(id: "{queued_job(w).pk}") {{ job {{ id }} }} }}'),
    ),
    "createElection": Door(
        "elections.election.requested",
        lambda w: (
            chain.head_at(2),
            w.mutate(
                "mutation ($input: NewElection!) { createElection(input: $input) { metadataHash } }",
                input={"metadata": DOCUMENT, "startBlock": 100, "endBlock": 200},
            ),
        ),
    ),
    "cancelElection": Door(
        "elections.election.",
        lambda w: w.mutate(f'mutation {{ cancelElection(id: "{election(w).public_id}") {{ job {{ jobId }} }} }}'),
    ),
    "finaliseElection": Door(
        "elections.election.",
        lambda w: w.mutate(
            f'mutation {{ finaliseElection(id: "{ended_election(w).public_id}") {{ job {{ jobId }} }} }}'
        ),
    ),
    "bringElectionMetadata": Door(
        "elections.metadata.stored",
        lambda w: w.mutate(
            "mutation ($h: String!, $d: NewElectionMetadata!)"
            " { bringElectionMetadata(hash: $h, document: $d) { hash } }",
            h=bring_metadata(w),
            d=DOCUMENT,
        ),
    ),
}

# Models whose admin lets an administrator add, change or delete; and the actions of all admins.
ADMINS: dict[str, Door | Unchanging | Elsewhere] = {
    "accounts.User add": Door(
        "accounts.user.created",
        lambda w: w.browser().post("/admin/accounts/user/add/", admin_form(w, "new@example.org", "viewer")),
    ),
    "accounts.User change": Door("accounts.user.updated", change_user),
    "accounts.User delete": Door(
        "accounts.user.deleted",
        lambda w: w.browser().post(f"/admin/accounts/user/{w.citizen.pk}/delete/", {"post": "yes"}),
    ),
    "accounts.SignIn end": Door(
        "accounts.signed_out", lambda w: w.act("accounts/signin", "end", SignInFactory(user=w.citizen))
    ),
    "jobs.Job cancel_jobs": Door("jobs.job.cancelled", lambda w: w.act("jobs/job", "cancel_jobs", queued_job(w))),
    "apikeys.ApiKey revoke": Door(
        "apikeys.key.revoked", lambda w: w.act("apikeys/apikey", "revoke", make_key(owner=w.admin)[0])
    ),
    "notifications.Notification send_again": Door(
        "notifications.notification.sent_again",
        lambda w: w.act("notifications/notification", "send_again", failed_notification(w)),
    ),
    "chain.DeadLetter replay": Elsewhere(
        "chain.dead_letters.replayed",
        "chain/tests/test_repairing.py::test_a_log_that_does_not_decode_is_kept_and_replayed",
    ),
}

COMMANDS: dict[str, Door | Unchanging | Elsewhere] = {
    "anchor_audit": Elsewhere(
        "audit.log.anchored", "chain/tests/test_anchoring.py::test_a_root_is_anchored_once_and_verified"
    ),
    "create_admin": Door("accounts.password.set", new_password),
    "create_audit_key": Unchanging("prints a key"),
    "create_election": Door("elections.election.requested", command_election),
    "deploy_contracts": Elsewhere(
        "chain.contracts.deployed", "chain/tests/test_anchoring.py::test_a_deployment_leaves_an_entry"
    ),
    "export_audit": Door("audit.log.exported", lambda w: (sequenced(w), call_command("export_audit"))),
    "generate_signing_key": Unchanging("prints a key"),
    "healthcheck": Unchanging("looks"),
    "index_chain": Elsewhere(
        "chain.indexer.halted", "chain/tests/test_crashes.py::test_nothing_final_is_undone_before_a_review"
    ),
    "index_status": Unchanging("looks"),
    "link_staff": Door("accounts.", link_person),
    "list_users": Unchanging("looks"),
    "migrate": Door("database.migrated", lambda w: call_command("migrate", "elections", verbosity=0, skip_checks=True)),
    "reconcile": Elsewhere(
        "chain.elections.reconciled",
        "chain/tests/test_repairing.py::test_reconcile_finds_no_difference_then_a_wrong_row",
    ),
    "reindex": Elsewhere(
        "chain.range.reindexed", "chain/tests/test_repairing.py::test_reindex_mends_lost_surplus_and_changed_rows"
    ),
    "replay_dead_letters": Elsewhere(
        "chain.dead_letters.replayed",
        "chain/tests/test_repairing.py::test_a_log_that_does_not_decode_is_kept_and_replayed",
    ),
    "reseal_tokens": Door("accounts.provider_tokens.resealed", lambda w: call_command("reseal_tokens")),
    "rotate_keys": Door("accounts.provider_tokens.resealed", lambda w: call_command("rotate_keys")),
    "run_sequencer": Unchanging("numbers what others record"),
    "seed_demo": Unchanging("works through the same services as the API, on development chains only"),
    "verify_audit": Door("audit.log.verified", lambda w: call_command("verify_audit", processes=1)),
    "zk_setup": Unchanging("writes files of the repository on a developer's machine"),
    "zk_verify_setup": Unchanging("looks"),
}

TASKS: dict[str, Door | Unchanging | Elsewhere] = {
    "accounts.purge_expired": Door("accounts.tokens.purged", purge_tokens),
    "accounts.sample_metrics": Unchanging("keeps request counts for the dashboard"),
    "apikeys.delete_old_usage": Door("apikeys.usage.deleted", delete_usage),
    "audit.export_log": Door("audit.log.exported", lambda w: (sequenced(w), celery.tasks["audit.export_log"]())),
    "audit.verify_log": Door("audit.log.verified", lambda w: celery.tasks["audit.verify_log"]()),
    "chain.anchor_audit": Door("jobs.job.started", anchor),
    "chain.reconcile": Elsewhere(
        "chain.elections.reconciled",
        "chain/tests/test_repairing.py::test_reconcile_finds_no_difference_then_a_wrong_row",
    ),
    "chain.watch_transactions": Elsewhere(
        "chain.transaction.mined", "chain/tests/test_sending.py::test_a_key_sends_once"
    ),
    "jobs.purge": Door("jobs.purged", purge_jobs),
    "jobs.recover": Door("jobs.job.", recover_jobs),
    "jobs.run": Door("jobs.job.succeeded", run_a_job),
    "notifications.deliver": Door("notifications.notification.sent", deliver),
    "notifications.purge": Door("notifications.purged", purge_notifications),
}
