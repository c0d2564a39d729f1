"""What holds for every input: addresses, sealed values, tokens."""

import unicodedata
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.utils import base64url_decode

from accounts.exceptions import EmailInvalid, EmailNotCanonical, InvalidToken, TokenExpired
from accounts.models import User
from accounts.services import canonical_email
from accounts.services.access_tokens import AccessToken, read_access_token
from accounts.services.emails import canonical_email as canonical
from accounts.services.id_tokens import unique_members
from accounts.services.sealing import CannotUnseal, seal, unseal

letters = st.text(st.characters(codec="utf-8", categories=("L", "M", "N", "Cf", "Pd")), min_size=1, max_size=12)


@given(letters, letters)
def test_a_canonical_address_is_one_that_nothing_else_normalises_to(local, domain):
    try:
        address = canonical_email(f"{local}@{domain}.org")
    except (EmailNotCanonical, EmailInvalid):
        return
    assert canonical(address) == address
    assert unicodedata.normalize("NFKC", address).casefold() == address
    assert address.upper().lower() == address


@given(st.text(max_size=200), st.text(st.characters(exclude_characters="\0"), max_size=50))
def test_a_sealed_value_opens_in_its_place_alone(value, place):
    if any("\ud800" <= character <= "\udfff" for character in value + place):
        return
    sealed = seal(value, place=place)
    assert unseal(sealed, place=place) == value
    with pytest.raises(CannotUnseal):
        unseal(sealed, place=place + "x")


def decoded(token):
    return [base64url_decode(part + "=" * (-len(part) % 4)) for part in token.split(".")]


@pytest.mark.slow
@settings(max_examples=200)
@given(st.data())
def test_a_token_with_any_bit_changed_is_refused(data):
    token = str(AccessToken.for_user(User(pk=uuid.UUID(int=1))))
    assert read_access_token(token)["sub"] == str(uuid.UUID(int=1))
    position = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda character: character != token[position]))
    changed = token[:position] + other + token[position + 1 :]
    try:
        read_access_token(changed)
    except (InvalidToken, TokenExpired):
        return
    # The last character of a part has bits that base64url does not use.
    assert decoded(changed) == decoded(token)


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_whatever_is_no_token_is_refused(token):
    with pytest.raises(InvalidToken):
        read_access_token(token)


@pytest.mark.slow
@given(st.lists(st.tuples(st.text(max_size=3), st.integers())))
def test_a_doubled_member_is_always_refused(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) == len(names):
        assert unique_members(pairs) == dict(pairs)
    else:
        with pytest.raises(ValueError, match="doubled"):
            unique_members(pairs)
