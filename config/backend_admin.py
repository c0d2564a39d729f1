"""Runs management commands: what is in a command's way takes one line and an exit code, never a traceback.

The console script `backend-admin` writes every command with hyphens; `manage.py` runs the same.
"""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn


def to_command(arguments: Sequence[str]) -> list[str]:
    """Turn `list-users --role admin` into what manage.py takes; only the command's own name changes."""
    if not arguments:
        return ["help"]
    name, *rest = arguments
    return [name if name.startswith("-") else name.replace("-", "_"), *rest]


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    # The pool says on each attempt what our one line says once.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    if sys.argv[1:] in ([], ["--help"], ["-h"], ["help"]):
        guarded(show_commands)
    else:
        run(["backend-admin", *to_command(sys.argv[1:])])


def run(arguments: list[str]) -> None:
    """Run one management command, given as `sys.argv` would be."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    # Its exit code 1 says that the log was tampered with; what keeps it from looking must not.
    failure_code = 2 if arguments[1:2] == ["verify_audit"] else 1

    def execute() -> None:
        from django.core.management import ManagementUtility

        ManagementUtility(arguments).execute()

    guarded(execute, failure_code=failure_code)


def guarded(work: Callable[[], None], *, failure_code: int = 1) -> None:
    """Do work; say in one line what kept it from being done, and exit."""
    from django.core.exceptions import ImproperlyConfigured

    is_traced = "--traceback" in sys.argv
    try:
        work()
        sys.stdout.flush()
    except ImproperlyConfigured as error:
        fail(f"configuration: {error}", failure_code)
    except SystemExit as error:
        if isinstance(error.code, str):
            fail(error.code, failure_code)  # of the settings, which refuse a variable
        # Typer ends with 1 where arguments are wrong, Django and everybody else with 2.
        sys.exit(2 if isinstance(error.__context__, usage_error()) else error.code)
    except BrokenPipeError:
        # Whoever read our output has seen enough, for instance `| head`; what is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        obstacle = in_the_way(error)
        if is_traced or not obstacle:
            raise
        fail(f"{obstacle}: {first_line(error)} (--traceback shows where)", failure_code)


def fail(line: str, code: int) -> NoReturn:
    sys.stderr.write(f"{line}\n")
    sys.exit(code)


def usage_error() -> type[Exception]:
    import typer

    parent = typer.BadParameter.__base__
    return parent if parent and issubclass(parent, Exception) else typer.BadParameter


def in_the_way(error: Exception) -> str:
    """Name the part that a command could not work without; nothing where the fault is our own."""
    from django.db import InterfaceError, OperationalError
    from psycopg.errors import InsufficientPrivilege, UndefinedColumn, UndefinedTable
    from redis.exceptions import RedisError
    from rest_framework.exceptions import APIException

    from chain.exceptions import NodeError

    if isinstance(error.__cause__, UndefinedTable | UndefinedColumn):
        return "the database is not migrated (`backend-admin migrate`)"
    if isinstance(error.__cause__, InsufficientPrivilege):
        return "the database refuses"
    if isinstance(error, OperationalError | InterfaceError):
        return "the database does not answer"
    if isinstance(error, RedisError):
        return "Redis does not answer"
    if isinstance(error, NodeError):
        return "the node does not answer"
    if isinstance(error, OSError) and error.filename:
        return "a file or folder cannot be used"
    return "refused" if isinstance(error, APIException) else ""


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
