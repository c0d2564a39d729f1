"""The staff's admin covers every model; append-only rows and facts cannot be edited there."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.test import RequestFactory

from accounts.admin_base import ReadOnlyAdmin, StaffAdmin
from accounts.models import User
from accounts.tests.factories import UserFactory

APPS = ("audit", "accounts", "jobs", "apikeys", "notifications", "zk", "elections", "chain")
MODELS = [model for model in apps.get_models() if model._meta.app_label in APPS]
# What people decide here; everything else is a fact or a record of what happened.
EDITABLE = {"accounts.User"}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_every_model_has_an_admin_of_the_shared_kind(model):
    assert admin.site.is_registered(model), f"write an admin for {model._meta.label}"
    assert isinstance(admin.site.get_model_admin(model), StaffAdmin)


def test_no_admin_is_left_out_of_the_shared_rules():
    others = [model._meta.label for model, found in admin.site._registry.items() if not isinstance(found, StaffAdmin)]
    assert others == []


@pytest.mark.django_db
def test_only_what_people_decide_can_be_edited():
    request = RequestFactory().get("/admin/")
    request.user = UserFactory(role="admin")
    for model, found in admin.site._registry.items():
        if model._meta.label not in EDITABLE:
            assert isinstance(found, ReadOnlyAdmin), model._meta.label
            assert not found.has_add_permission(request)
            assert not found.has_change_permission(request)
            assert not found.has_delete_permission(request)


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


def test_users_are_the_model_of_the_settings():
    assert apps.get_model("accounts.User") is User
