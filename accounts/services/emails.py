"""E-mail addresses in the one form in which they are compared."""

import unicodedata

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from accounts.exceptions import EmailInvalid, EmailNotCanonical


def canonical_email(raw: str) -> str:
    """Return an address in small letters; refuse one whose characters can pass for another address's.

    Refused are what NFKC changes (full-width letters, ligatures), what changes on the way to capitals and back
    (the dotless i, the long s), and invisible characters.
    """
    lowered = raw.strip().lower()
    folded = unicodedata.normalize("NFKC", lowered).upper().lower()
    has_invisible = any(unicodedata.category(character) in {"Cf", "Cc", "Zs", "Mn"} for character in lowered)
    if folded != lowered or unicodedata.normalize("NFC", raw.strip()).lower() != lowered or has_invisible:
        raise EmailNotCanonical
    try:
        validate_email(lowered)
    except ValidationError as error:
        raise EmailInvalid from error
    return lowered
