"""The console script `backend-admin`: every management command, written with hyphens."""

import logging
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
    from django.db import InterfaceError, OperationalError
    from redis.exceptions import RedisError
    from rest_framework.exceptions import APIException

    # The pool says on each attempt what the one line below says once.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    is_traced = "--traceback" in sys.argv
    try:
        if sys.argv[1:] in ([], ["--help"], ["-h"], ["help"]):
            show_commands()
        else:
            ManagementUtility(["backend-admin", *to_command(sys.argv[1:])]).execute()
        sys.stdout.flush()
    except ImproperlyConfigured as error:
        sys.exit(f"configuration: {error}")
    except BrokenPipeError:
        # Whoever read our output has seen enough, for instance `| head`; what is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except (OperationalError, InterfaceError, RedisError, APIException) as error:
        if is_traced:
            raise
        sys.exit(f"{in_the_way(error)}: {first_line(error)} (--traceback shows where)")


def in_the_way(error: Exception) -> str:
    """Name the part that a command could not work without."""
    from django.db import Error as DatabaseError
    from redis.exceptions import RedisError

    if isinstance(error, DatabaseError):
        return "the database does not answer"
    return "Redis does not answer" if isinstance(error, RedisError) else "refused"


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


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
