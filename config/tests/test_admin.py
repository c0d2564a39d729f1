"""The staff's admin covers every model; append-only rows and facts cannot be edited there."""

from itertools import count

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.db.models import CompositePrimaryKey
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now
from unfold.admin import ModelAdmin

from accounts.admin_base import StaffAdmin
from accounts.models import ProviderToken, User
from accounts.tests.factories import IdentityFactory, SignInFactory, UserFactory
from apikeys.tests.factories import make_key
from audit.admin_base import copyable, shorten
from audit.services import record
from elections.models import Census, Metadata, Moment
from elections.tests.factories import election as make_election
from jobs.models import JobStep
from jobs.services import start
from jobs.tests.factories import job_type
from notifications.models import Subscription
from notifications.tests.factories import notification

APPS = ("audit", "accounts", "jobs", "apikeys", "notifications", "zk", "elections", "chain")
# Django's admin takes no model with a composite key: of these, the rows that matter are shown beside others.
COMPOSITE = {"chain.Block", "chain.EventLog"}
MODELS = [m for m in apps.get_models() if m._meta.app_label in APPS and m._meta.label not in COMPOSITE]
# What people decide here; everything else is a fact or a record of what happened.
EDITABLE = {"accounts.User"}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_every_model_has_an_admin_of_the_shared_kind(model):
    assert admin.site.is_registered(model), f"write an admin for {model._meta.label}"
    # The audit log's room is inside the one that has the shared base, and has its own.
    assert isinstance(admin.site.get_model_admin(model), ModelAdmin if model._meta.app_label == "audit" else StaffAdmin)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_no_label_reads_like_a_variable(model):
    """What Django derives from `public_id`, `tx_hash` or `is_active` is not English."""
    names = [model._meta.verbose_name, model._meta.verbose_name_plural]
    names += [field.verbose_name for field in model._meta.concrete_fields]
    for name in names:
        words = str(name).split()
        assert not {"id", "tx", "jti", "sha256", "eid", "url", "sms", "seq", "api"} & set(words), name
        assert words[0] not in {"is", "has"}, name
    assert not str(model._meta.verbose_name).endswith(" in"), "a sign-in is one word"


def test_every_search_says_what_it_looks_in():
    silent = [
        m._meta.label for m, found in admin.site._registry.items() if found.search_fields and not found.search_help_text
    ]
    assert silent == []


def test_only_models_with_a_composite_key_are_left_out():
    composite = {m._meta.label for m in apps.get_models() if isinstance(m._meta.pk, CompositePrimaryKey)}
    assert composite == COMPOSITE


def test_no_admin_of_another_package_is_left_as_it_came():
    assert [m._meta.label for m, found in admin.site._registry.items() if not isinstance(found, ModelAdmin)] == []


@pytest.mark.django_db
def test_only_what_people_decide_can_be_edited():
    request = RequestFactory().get("/admin/")
    request.user = UserFactory(role="admin")
    for model, found in admin.site._registry.items():
        if model._meta.label not in EDITABLE:
            allowed = [found.has_add_permission(request), found.has_change_permission(request)]
            assert not any([*allowed, found.has_delete_permission(request)]), model._meta.label


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize("role", ["viewer", "admin"])
def test_every_list_opens(client, role):
    client.force_login(UserFactory(role=role))
    for model in admin.site._registry:
        url = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        response = client.get(url)
        assert response.status_code == 200, url
        searched = client.get(url, {"q": "x"})
        assert searched.status_code == 200, url


@pytest.mark.slow
@pytest.mark.django_db
def test_a_list_costs_the_same_for_two_rows_as_for_twenty(client):
    client.force_login(UserFactory(role="admin"))
    numbers = count(1)

    def make_step():
        with job_type():
            JobStep.objects.create(job=start(type="tests.noop", input={}), name="sent", result={})

    sections = {
        "accounts/user": UserFactory,
        "accounts/signin": SignInFactory,
        "accounts/identity": IdentityFactory,
        "accounts/providertoken": lambda: ProviderToken.objects.create(
            sign_in=SignInFactory(), generation=0, issued_at=now(), expires_at=now()
        ),
        "apikeys/apikey": make_key,
        "audit/entry": lambda: record(action="tests.seen", actor=f"user:{UserFactory().pk}", target="x:1"),
        "elections/election": lambda: make_election(next(numbers)),
        "elections/moment": lambda: Moment.objects.create(
            election=make_election(next(numbers)), kind="tests", block_number=1
        ),
        "elections/census": lambda: Census.objects.create(election=make_election(next(numbers))),
        "jobs/jobstep": make_step,
        "notifications/notification": notification,
        "notifications/subscription": lambda: Subscription.objects.create(user=UserFactory(), events=[], channels=[]),
    }
    for place, make in sections.items():
        costs = []
        for number in (2, 18):
            for _ in range(number):
                make()
            with CaptureQueriesContext(connection) as queries:
                assert client.get(f"/admin/{place}/").status_code == 200
            costs.append(len(queries))
        assert costs[1] <= costs[0], (place, costs)


@pytest.mark.django_db
def test_a_document_opens_by_its_hash(client):
    client.force_login(UserFactory(role="viewer"))
    document = Metadata.objects.create(hash=bytes(range(32)), document={"title": "A <b>bridge</b>", "options": ["x"]})
    page = client.get("/admin/elections/metadata/").content.decode()
    address = f"/admin/elections/metadata/{bytes(document.pk).hex()}/change/"
    assert address in page
    shown = client.get(address).content.decode()
    assert "A &lt;b&gt;bridge&lt;/b&gt;" in shown
    assert "<b>bridge" not in shown
    for wrong in ("zz", "00" * 32, "b'x'"):
        assert client.get(f"/admin/elections/metadata/{wrong}/change/").status_code == 302


@pytest.mark.django_db
def test_elections_are_found_by_their_title(client):
    client.force_login(UserFactory(role="viewer"))
    election = make_election()
    Metadata.objects.create(hash=election.metadata_hash, document={"title": "Benches in the park"})
    assert election.public_id in client.get("/admin/elections/election/?q=benches").content.decode()
    assert "Nothing matches" in client.get("/admin/elections/election/?q=swings").content.decode()


@pytest.mark.django_db
def test_a_page_s_heading_leaves_names_as_they_are_and_counts_only_what_was_searched(client):
    client.force_login(UserFactory(role="viewer"))
    user = UserFactory(email="ada@example.org")
    heading = client.get(f"/admin/accounts/user/{user.pk}/change/").content.decode().partition("<h1")[2]
    assert "ada@example.org" in heading.partition("</h1>")[0]
    everybody = client.get("/admin/accounts/user/").content.decode().partition("<h1")[2].partition("</h1>")[0]
    assert "Show all" not in everybody
    found = client.get("/admin/accounts/user/?q=ada").content.decode().partition("<h1")[2].partition("</h1>")[0]
    assert "1 result" in found
    assert "Show all" in found


@pytest.mark.django_db
def test_a_destructive_action_asks_first_and_names_the_rows(client):
    client.force_login(UserFactory(role="admin"))
    sign_in = SignInFactory(user=UserFactory(email="gone@example.org"))
    form = {"action": "end", "_selected_action": [str(sign_in.pk)]}
    question = client.post("/admin/accounts/signin/", form)
    assert question.status_code == 200
    assert "gone@example.org" in question.content.decode()
    assert "End these sign-ins</button>" in question.content.decode()
    sign_in.refresh_from_db()
    assert sign_in.revoked_at is None
    client.post("/admin/accounts/signin/", form | {"confirmed": "yes"})
    sign_in.refresh_from_db()
    assert sign_in.revoked_at is not None


@pytest.mark.django_db
def test_the_log_names_people_by_their_address(client):
    client.force_login(UserFactory(role="viewer"))
    known, nameless = UserFactory(email="ada@example.org"), UserFactory(email=None)
    for actor in (f"user:{known.pk}", f"user:{nameless.pk}", "user:not-a-uuid", "system:indexer"):
        record(action="tests.seen", actor=actor)
    page = client.get("/admin/audit/entry/").content.decode()
    for name in ("ada@example.org", f"user:{str(nameless.pk)[:8]}…", "user:not-a-uuid", "system:indexer"):
        assert name in page


def test_identifiers_are_shown_short_and_copied_whole():
    shown = copyable('job:"><script>0123456789abcdef0123456789abcdef')
    assert "<script>" not in shown
    assert 'data-copy="job:&quot;&gt;&lt;script&gt;0123456789abcdef0123456789abcdef"' in shown
    assert shorten("0x" + "ab" * 32) == "0xabababab…abab"
    assert shorten("job:686c3e5a-c6d2-4d49-b541-ae9c882bdc69") == "job:686c3e5a…dc69"
    assert shorten("anchor:31337:0x" + "ab" * 20 + ":82") == "anchor:31337:0xabababab…abab:82"
    assert shorten("31337-5fbdb231-10") == "31337-5fbdb231-10"
    assert shorten("system:worker") == "system:worker"
    assert copyable("") == copyable(None) == "–"


def test_users_are_the_model_of_the_settings():
    assert apps.get_model("accounts.User") is User
