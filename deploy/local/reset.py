"""Forgets the data of `make run`: ends what still runs and removes the state folder."""

import shutil
import sys

from deploy.local import run, supervisor


def main() -> None:
    with run.exclusive() as is_ours:
        if not is_ours:
            sys.exit("`make run` is running in this folder; stop it first (Ctrl-C).")
        supervisor.end_leftovers(run.STATE)
        run.stop_postgres()
        shutil.rmtree(run.STATE, ignore_errors=True)
    print("Forgotten. The next `make run` starts from nothing.")


if __name__ == "__main__":
    main()
