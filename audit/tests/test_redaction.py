import pytest

from audit.redaction import PERSONAL_FIELDS, REDACTED, SECRET_FIELDS, redact

PEPPER = b"pepper"


def clean(value):
    return redact(value, pepper=PEPPER)


@pytest.mark.parametrize("name", sorted(SECRET_FIELDS))
def test_a_secret_field_is_dropped_at_any_depth(name):
    assert clean({"a": [{name: "hunter2"}]}) == {"a": [{name: REDACTED}]}


@pytest.mark.parametrize("name", ["refreshToken", "Old-Password", "client_secret", "API_KEY", "id.token"])
def test_spelling_does_not_save_a_secret(name):
    assert "hunter2" not in str(clean({name: "hunter2"}))


@pytest.mark.parametrize("name", sorted(PERSONAL_FIELDS))
def test_personal_data_becomes_a_keyed_digest(name):
    [value] = clean({name: "Ada@Example.org"}).values()
    assert value.startswith("hmac-sha256:")
    assert value == clean({name: "ada@example.org "})[name]
    assert value != redact({name: "Ada@Example.org"}, pepper=b"other")[name]


@pytest.mark.parametrize(
    "text",
    [
        "login with eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl failed",
        "key psk_abcdefgh1234567890 refused",
        "Authorization: Bearer abcdefgh12345678",
        "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----",
        "PRIVATE+KEY+log+00000000+AAAA",
    ],
)
def test_a_secret_inside_free_text_is_dropped(text):
    assert REDACTED in clean({"detail": text})["detail"]
    for part in ("eyJhbGci", "psk_abc", "abcdefgh12345678", "MHcCAQEE", "AAAA"):
        assert part not in clean({"detail": text})["detail"]


def test_an_address_inside_free_text_is_digested():
    assert "ada@example.org" not in clean(["sent to ada@example.org"])[0]


@pytest.mark.parametrize("name", ["token_id", "key_prefix", "public_key", "address", "nullifier", "subject_count"])
def test_names_that_only_resemble_are_kept(name):
    assert clean({name: "0xabc"}) == {name: "0xabc"}


def test_a_deep_or_odd_value_cannot_break_the_writer():
    deep: dict = {}
    for _ in range(100):
        deep = {"a": deep}
    assert "[too deep]" in str(clean(deep))
    assert clean({"o": object}) is not None
