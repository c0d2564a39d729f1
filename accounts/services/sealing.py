"""Sealing of secrets at rest by keys that rotate."""

from base64 import urlsafe_b64encode
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class CannotUnseal(Exception):
    """The value was sealed by a key that is gone, or was put where it does not belong."""


@lru_cache(maxsize=8)
def load_fernet(keys: tuple[str, ...], secret_key: str) -> MultiFernet:
    if not keys:
        seed = HKDF(hashes.SHA256(), length=32, salt=None, info=b"psephos token sealing").derive(secret_key.encode())
        keys = (urlsafe_b64encode(seed).decode(),)
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError as error:
        raise ImproperlyConfigured("an entry of TOKEN_ENCRYPTION_KEYS is not a Fernet key") from error


def fernet() -> MultiFernet:
    return load_fernet(tuple(settings.TOKEN_ENCRYPTION_KEYS), settings.SECRET_KEY)


def seal(value: str, *, place: str) -> str:
    """Encrypt a value by the first key, bound to the place (row and field) where it will stand."""
    return fernet().encrypt(f"{place}\0{value}".encode()).decode()


def unseal(sealed: str, *, place: str) -> str:
    """Decrypt a value by any of the keys; a value that was moved from another row does not open."""
    try:
        found_place, _, value = fernet().decrypt(sealed).decode().partition("\0")
    except InvalidToken as error:
        raise CannotUnseal from error
    if found_place != place:
        raise CannotUnseal
    return value


def reseal(sealed: str) -> str:
    """Encrypt a sealed value again by the first key."""
    return fernet().rotate(sealed.encode()).decode()
