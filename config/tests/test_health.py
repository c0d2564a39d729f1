import pytest


def test_healthz_answers_without_a_database(client):
    assert client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.django_db
def test_readyz_names_every_part(client):
    report = client.get("/readyz")
    assert report.status_code == 200
    assert set(report.json()["parts"]) >= {"postgresql", "redis", "chain"}


def test_an_unknown_address_is_a_problem_with_the_request_id(client):
    response = client.get("/nowhere", headers={"X-Request-ID": "abcdefgh-123"})
    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "not_found"
    assert response.json()["request_id"] == response["X-Request-ID"] == "abcdefgh-123"
