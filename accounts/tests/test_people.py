"""Who a person is: issuer and subject, whatever the e-mail says."""

import pytest
from django.test import Client

from accounts.models import SignIn, User
from accounts.tests.conftest import sign_in_hostile
from accounts.tests.factories import IdentityFactory, UserFactory
from accounts.tests.refusals import assert_refused


def test_a_person_is_issuer_and_subject_not_the_email(client, hostile):
    IdentityFactory(issuer=hostile.issuer, subject="subject-1", user__email="first@example.org")
    hostile.userinfo = {"sub": "subject-1", "email": "changed@example.org", "email_verified": True}
    assert sign_in_hostile(client, hostile).status_code == 200
    assert User.objects.count() == 1
    assert User.objects.get().email == "first@example.org"


@pytest.mark.parametrize("verified", [False, None, "true", 1])
def test_an_email_that_is_not_verified_links_nobody(client, hostile, verified):
    known = UserFactory(email="known@example.org")
    hostile.userinfo = {"sub": "subject-1", "email": "known@example.org", "email_verified": verified}
    assert sign_in_hostile(client, hostile).status_code == 200
    user = SignIn.objects.get().user
    assert user != known
    assert user.email is None


def test_a_verified_email_links_a_citizen_and_never_staff(client, hostile):
    citizen = UserFactory(email="citizen@example.org")
    admin = UserFactory(email="admin@example.org", role="admin")
    hostile.userinfo = {"sub": "subject-1", "email": "Citizen@Example.org", "email_verified": True}
    assert sign_in_hostile(client, hostile).status_code == 200
    assert SignIn.objects.get().user == citizen
    hostile.claims = {"sub": "subject-2"}
    hostile.userinfo = {"sub": "subject-2", "email": "admin@example.org", "email_verified": True}
    assert sign_in_hostile(Client(), hostile).status_code == 200
    newcomer = SignIn.objects.get(subject="subject-2").user
    assert newcomer != admin
    assert (newcomer.role, newcomer.email) == ("citizen", None)


@pytest.mark.parametrize(
    "email",
    ["ａdmin@example.org", "admın@example.org", "a\u200bdmin@example.org", "admin@exampleſ.org", "ﬁ@example.org"],
)
@pytest.mark.parametrize("verified", [True, False])
def test_an_email_that_normalises_to_anothers_is_refused(client, hostile, email, verified):
    UserFactory(email="admin@example.org", role="admin")
    hostile.userinfo = {"sub": "subject-1", "email": email, "email_verified": verified}
    assert_refused(sign_in_hostile(client, hostile), "email_not_canonical")
    assert User.objects.count() == 1


def test_a_deactivated_person_is_refused(client, hostile):
    IdentityFactory(issuer=hostile.issuer, subject="subject-1", user__is_active=False)
    assert_refused(sign_in_hostile(client, hostile), "user_deactivated")


def test_two_first_sign_ins_make_one_person(client, hostile):
    assert sign_in_hostile(client, hostile).status_code == 200
    assert sign_in_hostile(Client(), hostile).status_code == 200
    assert User.objects.count() == 1
    assert SignIn.objects.count() == 2


def test_a_level_of_assurance_that_is_asked_for_is_required(client, hostile, settings):
    settings.OIDC_PROVIDERS = [{**hostile.settings, "acr_values": ["high"]}]
    hostile.claims = {"acr": "low"}
    assert_refused(sign_in_hostile(client, hostile), "id_token_assurance")
    hostile.claims = {"acr": "high"}
    assert sign_in_hostile(Client(), hostile).status_code == 200
