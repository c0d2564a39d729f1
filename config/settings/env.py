"""Reads settings from the environment (or from the file that `NAME_FILE` points to); each error names its variable."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from django.core.exceptions import ImproperlyConfigured
from environs import EnvError, FileAwareEnv, ValidationError

env = FileAwareEnv()
env.read_env()


def refuse(message: str) -> NoReturn:
    """End the process with one line: a traceback helps nobody who mistyped a variable."""
    raise SystemExit(f"configuration: {message}")


def is_url(*schemes: str) -> Callable[[str], None]:
    """Make a validator that refuses what is no address of one of the schemes; an empty value means "not set"."""

    def check(value: str) -> None:
        scheme, separator, rest = value.partition("://")
        if value and not (separator and rest and scheme in schemes):
            raise ValidationError(f"Not an address of the form {' or '.join(f'{name}://…' for name in schemes)}.")

    return check


@contextmanager
def refusing_in_one_line() -> Iterator[None]:
    """Turn what is wrong with a setting into one line, whichever server, worker or command reads the settings."""
    try:
        yield
    except (EnvError, ImproperlyConfigured) as error:
        refuse(" ".join(str(error).split()))
