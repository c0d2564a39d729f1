#!/usr/bin/env python
"""Runs Django's and Psephos' management commands."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from environs import EnvError

    try:
        execute_from_command_line(sys.argv)
    except (ImproperlyConfigured, EnvError) as error:
        # One line that names the setting; a traceback helps nobody who mistyped a variable.
        sys.exit(f"configuration: {error}")


if __name__ == "__main__":
    main()
