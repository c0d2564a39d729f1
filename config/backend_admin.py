"""The console script `backend-admin`: every management command, written with hyphens."""

import os
import sys
from collections.abc import Sequence


def to_command(arguments: Sequence[str]) -> list[str]:
    """Turn `list-users --role admin` into what manage.py takes; only the command's own name changes."""
    if not arguments:
        return ["help"]
    name, *rest = arguments
    return [name if name.startswith("-") else name.replace("-", "_"), *rest]


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import ManagementUtility

    if sys.argv[1:] in ([], ["--help"], ["-h"], ["help"]):
        show_commands()
        return
    try:
        ManagementUtility(["backend-admin", *to_command(sys.argv[1:])]).execute()
    except ImproperlyConfigured as error:
        sys.exit(f"configuration: {error}")


def show_commands() -> None:
    """List the commands of Psephos' own apps with their first line of help."""
    import django
    from django.core.management import get_commands, load_command_class
    from django.utils.termcolors import make_style

    django.setup()
    apps = ("config", "accounts", "apikeys", "audit", "chain", "elections", "jobs", "notifications", "zk")
    name_style = make_style(fg="cyan") if sys.stdout.isatty() else str
    sys.stdout.write("backend-admin COMMAND …   (each has --help)\n\n")
    for name, app in sorted(get_commands().items()):
        if app in apps:
            command = load_command_class(app, name)
            # A Typer command of several functions has its help in its module's docstring.
            text = command.help if isinstance(command.help, str) else sys.modules[type(command).__module__].__doc__
            help_text = str(text).strip().split(". ")[0].split("\n")[0]
            sys.stdout.write(f"  {name_style(name.replace('_', '-').ljust(22))} {help_text}\n")


if __name__ == "__main__":
    main()
