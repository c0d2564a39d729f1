"""Reads settings from the environment (or from the file that `NAME_FILE` points to); each error names its variable."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from django.core.exceptions import ImproperlyConfigured
from environs import EnvError, FileAwareEnv, ValidationError

# What `make run` in this folder runs with: commands typed beside it speak to it. Production reads no such file.
LOCAL_RUN = Path(__file__).resolve().parent.parent.parent / ".local" / "run" / "environment.json"


class Env(FileAwareEnv):
    """Takes `a, b` for a list of `a` and `b`: a host or key with a space before it would never match, silently."""

    def list(self, name: str, default: list[str], *, validate: Any = None) -> list[str]:  # type: ignore[override]
        read: list[str] = super().list(name, default, subcast=str.strip, validate=validate)
        return read


env = Env()
env.read_env()
if os.environ.get("DJANGO_SETTINGS_MODULE") == "config.settings.local" and "DATABASE_URL" not in os.environ:
    with contextlib.suppress(FileNotFoundError):
        for _name, _value in json.loads(LOCAL_RUN.read_text()).items():
            os.environ.setdefault(_name, _value)


@env.parser_for("numbers")
def parse_numbers(value: str | dict[str, float]) -> dict[str, float]:
    """Read `name=number,…`; environs' own `dict` ends in a bare ValueError for what is not of this form."""
    if isinstance(value, dict):
        return value
    pairs = [item.partition("=") for item in value.split(",") if item.strip()]
    try:
        return {name.strip(): float(number) for name, _, number in pairs}
    except ValueError as error:
        raise ValidationError("Not of the form name=number,…") from error


def refuse(message: str) -> NoReturn:
    """End the process with one line: a traceback helps nobody who mistyped a variable."""
    raise SystemExit(f"configuration: {message}")


def is_url(*schemes: str) -> Callable[[str | list[str]], None]:
    """Make a validator that refuses what is no address (or list of them) of the schemes; empty means "not set"."""

    def check(value: str | list[str]) -> None:
        for address in value if isinstance(value, list) else [value]:
            scheme, separator, rest = address.partition("://")
            if not address or (separator and rest and scheme in schemes):
                continue
            raise ValidationError(f"Not an address of the form {' or '.join(f'{name}://…' for name in schemes)}.")

    return check


@contextmanager
def refusing_in_one_line() -> Iterator[None]:
    """Turn what is wrong with a setting into one line, whichever server, worker or command reads the settings."""
    try:
        yield
    except (EnvError, ImproperlyConfigured) as error:
        refuse(" ".join(str(error).split()))
