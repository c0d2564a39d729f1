#!/usr/bin/env python
"""Runs Django's and Psephos' management commands."""

import os
import sys


def main() -> None:
    if sys.argv[1:2] == ["verify_audit"] and any(word.partition("=")[0] == "--bundle" for word in sys.argv):
        # An outsider checks an export with nothing of ours but this code: no settings, no database.
        from audit.offline import main as verify

        sys.exit(verify(sys.argv[2:]))
    try:
        run()
    except SystemExit as error:
        # Its exit code 1 says that the log was tampered with: a setting out of order must not.
        if sys.argv[1:2] == ["verify_audit"] and isinstance(error.code, str):
            print(error.code, file=sys.stderr)  # noqa: T201
            sys.exit(2)
        raise


def run() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"configuration: {error}")


if __name__ == "__main__":
    main()
