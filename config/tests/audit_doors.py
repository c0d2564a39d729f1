"""Every door through which something changes, and how to go through it: what `test_audit_doors` exercises.

A door is listed with the beginning of the action that it must leave in the audit log. `Unchanging` is one that looks
like a change and is none; `Elsewhere` is one whose exercise takes a chain, with the test that goes through it.
"""

from django.core.management import call_command

from accounts.tests.factories import SignInFactory
from apikeys.tests.factories import make_key
from config.celery import app as celery
from config.tests.audit_world import (
    DOCUMENT,
    Door,
    Elsewhere,
    Unchanging,
    admin_form,
    anchor,
    bring_metadata,
    change_user,
    close_census,
    close_census_by_graphql,
    command_election,
    confirm,
    create_election,
    delete_usage,
    deliver,
    election,
    ended_election,
    failed_notification,
    forget_contact,
    link_person,
    log_in_and_out,
    log_in_badly,
    new_password,
    purge_jobs,
    purge_notifications,
    purge_tokens,
    queued_job,
    recover_jobs,
    refresh,
    register_voter,
    register_voter_by_graphql,
    revoke,
    run_a_job,
    secret_election,
    send_code,
    sendgrid_reports,
    sequenced,
    subscription,
    twilio_reports,
    unsubscribe_by_link,
)
from elections.tests import factories as chain
from zk.tests.inputs import voice_input

ROUTES: dict[str, Door | Unchanging | Elsewhere] = {
    "POST auth/logout": Door("accounts.signed_out", lambda w: w.send("post", "/auth/logout")),
    "POST auth/refresh": Door("accounts.refresh_token.rotated", refresh),
    "POST auth/revoke": Door("accounts.token.revoked", revoke),
    "POST auth/backchannel-logout": Elsewhere(
        "accounts.signed_out",
        "accounts/tests/test_backchannel_logout.py::test_a_logout_token_ends_the_sessions_that_it_names",
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
    "registerVoter": Door("elections.census.registered", register_voter_by_graphql),
    "closeCensus": Door("elections.census.closed", close_census_by_graphql),
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
    "rotate_keys": Door("accounts.provider_tokens.resealed", lambda w: call_command("rotate_keys")),
    "run_sequencer": Unchanging("numbers what others record"),
    "seed_demo": Unchanging("works through the same services as the API, on development chains only"),
    "serve_sockets": Unchanging("the server; its doors are listed by themselves"),
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
