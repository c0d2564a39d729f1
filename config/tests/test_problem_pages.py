"""A browser reads of an error on a page, a program in a problem."""

import pytest
from django.test import Client, RequestFactory

from config.problems import server_error

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/problem+json", ""])
def test_a_program_gets_a_problem(client, accept):
    response = client.get("/nowhere", headers={"Accept": accept} if accept else {})
    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")
    assert response.json()["code"] == "not_found"
    assert "Accept" in response["Vary"]


@pytest.mark.parametrize("address", ["/elections", "/audit/proof", "/auth/login", "/", "/graphql"])
def test_more_parameters_than_can_be_meant_are_a_bad_request(client, address):
    response = client.get(address + "?a=1" + "&a=1" * 1000)
    assert (response.status_code, response.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize("address", ["users/zz", "users/", "api-keys/zz/rotate", "metrics/"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_malformed_id_of_the_admin_api_leads_to_no_sign_in_page(method, address):
    response = Client(enforce_csrf_checks=True).generic(method, f"/admin/{address}")
    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")


def test_a_browser_gets_a_page_with_the_same_words(client):
    response = client.get("/nowhere", headers={"Accept": BROWSER})
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")
    assert "There is nothing at this address." in response.content.decode()
    assert response["X-Request-ID"] in response.content.decode()


def test_the_page_of_a_fault_asks_no_database():
    response = server_error(RequestFactory().get("/", headers={"Accept": BROWSER}))
    assert response.status_code == 500
    assert "Something went wrong on our side." in response.content.decode()


@pytest.mark.django_db
def test_a_refused_start_of_a_sign_in_is_a_page_too(client):
    response = client.get("/auth/login?provider=nobody", headers={"Accept": BROWSER})
    code = client.get("/auth/login?provider=nobody").json()["code"]
    assert response.status_code == 404
    assert "You are not signed in" in response.content.decode()
    assert f"<code>{code}</code>" in response.content.decode()


def test_too_many_requests_are_a_page_for_a_browser_and_a_problem_for_a_program(client, settings):
    settings.RATE_LIMIT = "1/60"
    client.get("/nowhere")
    page = client.get("/nowhere", headers={"Accept": BROWSER})
    assert (page.status_code, page["Content-Type"]) == (429, "text/html; charset=utf-8")
    assert 1 <= int(page["Retry-After"]) <= 61
    assert f"try again in {page['Retry-After']} seconds" in page.content.decode()
    assert "<code>rate_limited</code>" in page.content.decode()
    for accept in ("*/*", "application/json, text/html;q=0.1"):
        problem = client.get("/nowhere", headers={"Accept": accept})
        assert problem.json()["code"] == "rate_limited"
        assert "Accept" in problem["Vary"]


@pytest.mark.django_db
def test_a_form_without_its_token_is_refused_in_our_words():
    client = Client(enforce_csrf_checks=True)
    page = client.post("/admin/login/", {"username": "ada@example.org"}, headers={"Accept": BROWSER})
    assert page.status_code == 403
    assert "Open its page again" in page.content.decode()
    assert "DEBUG" not in page.content.decode()
    assert client.post("/admin/login/", {}).json()["code"] == "csrf_failed"
