"""The staff's admin covers every model; append-only rows and facts cannot be edited there."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.db.models import CompositePrimaryKey
from django.test import RequestFactory
from unfold.admin import ModelAdmin

from accounts.admin_base import StaffAdmin
from accounts.models import User
from accounts.tests.factories import UserFactory

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


def test_users_are_the_model_of_the_settings():
    assert apps.get_model("accounts.User") is User
