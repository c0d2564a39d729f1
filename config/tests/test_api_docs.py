import re

import pytest
from django.conf import settings


@pytest.mark.parametrize("path", ["/api/docs", "/api/redoc"])
@pytest.mark.django_db
def test_the_api_readers_need_no_inline_script_and_no_outside_asset(client, path):
    response = client.get(path)
    html = response.content.decode()
    assert response.status_code == 200
    assert not re.findall(r"<script(?![^>]*\bsrc=)", html)
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", html)
    policy = response["Content-Security-Policy"]
    assert "script-src" not in policy
    assert "default-src 'self'" in policy


@pytest.mark.slow
@pytest.mark.django_db
def test_the_schema_that_is_served_is_the_one_in_the_repository(client):
    served = client.get("/api/schema")
    assert served.content.decode() == (settings.BASE_DIR / "docs" / "openapi.yaml").read_text()
