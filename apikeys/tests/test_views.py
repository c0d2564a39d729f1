import base64
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.tests.factories import UserFactory, bearer
from apikeys.models import ApiKey
from apikeys.services.keys import KEY_FORM, checksum
from apikeys.tests.factories import api_key, make_key
from audit.models import Entry

pytestmark = pytest.mark.django_db
URL = "/admin/api-keys"
PASSWORD = "a long pass:with:colons ü"


@pytest.fixture
def admin():
    user = UserFactory(role="admin")
    user.set_password(PASSWORD)
    user.save()
    return user


def basic(name, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def send(client, method, url, data=None, *, user):
    return getattr(client, method)(url, data, "application/json", headers=bearer(user))


def test_a_key_is_shown_once_and_kept_as_a_digest(client, admin):
    answer = send(client, "post", URL, {"name": "mirror", "scopes": ["elections:read"]}, user=admin)
    assert answer.status_code == 201
    assert answer["Cache-Control"] == "no-store"
    text = answer.json()["key"]
    assert KEY_FORM.fullmatch(text)
    assert checksum(text[:-6]) == text[-6:]
    key = ApiKey.objects.get()
    assert text[16:] not in repr(vars(key))
    assert "key" not in client.get(f"{URL}/{key.pk}", headers=bearer(admin)).json()
    [entry] = Entry.objects.filter(action="apikeys.key.created")
    assert entry.actor == f"user:{admin.pk}"
    assert text[16:] not in repr(entry.data)


def test_the_database_refuses_a_plaintext(admin):
    from django.db import IntegrityError

    with pytest.raises(IntegrityError, match="apikey_digest_is_a_digest"):
        ApiKey.objects.create(lookup_id="a" * 12, digest="psk_plain", pepper_number=1, name="x", owner=admin)


def test_keys_are_listed_shown_changed_and_revoked(client, admin, django_assert_num_queries):
    keys = [make_key(owner=admin, name=f"key {number}")[0] for number in range(3)]
    headers = bearer(admin)
    with django_assert_num_queries(2):  # the caller, the page
        page = client.get(URL, headers=headers).json()
    assert [row["name"] for row in page["results"]] == ["key 2", "key 1", "key 0"]
    changed = send(client, "patch", f"{URL}/{keys[0].pk}", {"limit_per_minute": 600, "name": "new"}, user=admin)
    assert changed.json()["limit_per_minute"] == 600
    assert send(client, "delete", f"{URL}/{keys[0].pk}", user=admin).status_code == 204
    assert send(client, "delete", f"{URL}/{keys[0].pk}", user=admin).status_code == 204
    assert Entry.objects.filter(action="apikeys.key.revoked").count() == 1
    assert client.get(f"{URL}/{keys[0].pk}", headers=headers).json()["status"] == "revoked"
    assert len(client.get(f"{URL}?active=true", headers=headers).json()["results"]) == 2
    assert len(client.get(f"{URL}?active=false&owner={admin.pk}", headers=headers).json()["results"]) == 1
    assert send(client, "patch", f"{URL}/{keys[0].pk}", {"name": "x"}, user=admin).status_code == 409


def test_rotation_overlaps(client, admin, monkeypatch):
    old, old_text = make_key(owner=admin, limit_per_minute=90)
    answer = send(client, "post", f"{URL}/{old.pk}/rotate", {"overlap_seconds": 60}, user=admin)
    new_text = answer.json()["key"]
    assert answer.json()["limit_per_minute"] == 90
    assert answer.json()["replaces"] == str(old.pk)
    assert client.get(f"{URL}/{old.pk}", headers=bearer(admin)).json()["replaced_by"] == answer.json()["id"]
    for text in (old_text, new_text):
        assert client.get("/nowhere", headers=api_key(text)).status_code == 404
    assert send(client, "post", f"{URL}/{old.pk}/rotate", {}, user=admin).json()["code"] == "api_key_not_active"
    later = timezone.now() + timedelta(seconds=61)
    monkeypatch.setattr("apikeys.services.keys.timezone.now", lambda: later)
    assert client.get("/nowhere", headers=api_key(old_text)).json()["code"] == "api_key_expired"
    assert client.get("/nowhere", headers=api_key(new_text)).status_code == 404


@pytest.mark.parametrize(
    ("data", "pointer", "code"),
    [
        ({"scopes": []}, "/name", "required"),
        ({"name": "x", "scopes": ["all"]}, "/scopes/0", "invalid_choice"),
        ({"name": "x", "scopes": [], "digest": "0"}, "/digest", "unknown_field"),
        ({"name": "x" * 101, "scopes": []}, "/name", "max_length"),
        ({"name": "x", "scopes": [], "limit_per_minute": 0}, "/limit_per_minute", "min_value"),
        ({"name": "x", "scopes": [], "expires_at": "2020-01-01T00:00:00Z"}, "/expires_at", "not_in_future"),
        ({"name": "x", "scopes": [], "owner": "7"}, "/owner", "incorrect_type"),
        ({"name": "\0", "scopes": []}, "/name", "null_characters_not_allowed"),
    ],
)
def test_bad_input_is_named_and_has_no_effect(client, admin, data, pointer, code):
    answer = send(client, "post", URL, data, user=admin)
    assert answer.status_code == 400
    found = {(error["pointer"], error["code"]) for error in answer.json()["errors"]}
    assert (pointer, code) in found or (pointer == "/owner" and any(p == "/owner" for p, _ in found))
    assert not ApiKey.objects.exists()
    assert not Entry.objects.exists()


def test_an_owner_cannot_get_scopes_beyond_its_role(client, admin):
    citizen = UserFactory()
    data = {"name": "x", "scopes": ["admin:write"], "owner": str(citizen.pk)}
    answer = send(client, "post", URL, data, user=admin)
    assert (answer.status_code, answer.json()["code"]) == (409, "owner_not_allowed")
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("method", ["get", "post"])
def test_who_may(client, method):
    assert getattr(client, method)(URL).status_code == 401
    for role in ("citizen", "viewer"):
        answer = send(client, method, URL, {"name": "x", "scopes": []}, user=UserFactory(role=role))
        assert answer.status_code == 403
    assert not ApiKey.objects.exists()


def test_basic_takes_the_password_even_with_colons(client, admin):
    assert client.get(URL, headers=basic(admin.email, PASSWORD)).status_code == 200


def test_basic_takes_an_admin_key_of_the_same_owner(client, admin):
    _, text = make_key(owner=admin, scopes=["admin:api-keys"])
    _, weak = make_key(owner=admin, scopes=["elections:read"])
    other = UserFactory(role="admin")
    assert client.get(URL, headers=basic(admin.email, text)).status_code == 200
    assert client.get(URL, headers=api_key(text)).status_code == 200
    assert client.get(URL, headers=basic(admin.email, weak)).json()["code"] == "api_key_scope_missing"
    assert client.get(URL, headers=basic(other.email, text)).status_code == 401


@pytest.mark.parametrize(
    "value",
    ["Basic", "Basic !!!", "Basic " + base64.b64encode(b"nocolon").decode(), "Basic /////w==", "Basic OgA="],
)
def test_malformed_basic_is_401_and_offers_every_scheme(client, value):
    answer = client.get(URL, headers={"Authorization": value})
    assert answer.status_code == 401
    assert {"Bearer", "Basic", "Api-Key"} <= set(re.findall(r"[A-Z][A-Za-z-]+", answer["WWW-Authenticate"]))


def test_guessing_passwords_stops_after_ten(client, admin):
    statuses = [client.get(URL, headers=basic(admin.email, f"wrong {n}")).status_code for n in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    assert client.get(URL, headers=basic(admin.email, PASSWORD)).status_code == 429
    elsewhere = client.get(URL, headers=basic(admin.email, PASSWORD), REMOTE_ADDR="192.0.2.5")
    assert elsewhere.status_code == 200


def test_a_viewers_password_opens_nothing(client):
    viewer = UserFactory(role="viewer")
    viewer.set_password(PASSWORD)
    viewer.save()
    assert client.get(URL, headers=basic(viewer.email, PASSWORD)).status_code == 401


def test_a_key_dies_with_its_pepper(client, settings, admin):
    _, text = make_key(owner=admin)
    settings.API_KEY_PEPPERS = ["2:new", *settings.API_KEY_PEPPERS]
    assert client.get("/nowhere", headers=api_key(text)).status_code == 404
    assert make_key(owner=admin)[0].pepper_number == 2
    settings.API_KEY_PEPPERS = ["2:new"]
    assert client.get("/nowhere", headers=api_key(text)).json()["code"] == "api_key_unknown"
