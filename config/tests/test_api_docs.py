import re

import pytest


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
