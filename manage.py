#!/usr/bin/env python
"""Runs Django's and Psephos' management commands."""

import sys


def main() -> None:
    if sys.argv[1:2] == ["verify_audit"] and any(word.partition("=")[0] == "--bundle" for word in sys.argv):
        # An outsider checks an export with nothing of ours but this code: no settings, no database.
        from audit.offline import main as verify

        sys.exit(verify(sys.argv[2:]))
    from config.backend_admin import run

    run(sys.argv)


if __name__ == "__main__":
    main()
