"""Django's `migrate`, as the role that owns the tables, followed by the grants to the application and the sequencer."""

from typing import Any

import dj_database_url
from django.conf import settings
from django.core.management.commands.migrate import Command as Migrate
from django.db import connections, transaction

from audit.context import auditing
from audit.models import Entry
from audit.services import grant_roles, record


class Command(Migrate):
    help = "Bring the database to this version as the tables' owner, and grant the other roles what they may do."

    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        if url := settings.MIGRATION_DATABASE_URL:
            connection.close()
            connection.close_pool()  # type: ignore[attr-defined]
            owner = dj_database_url.parse(url)
            # The database's name stays: the test runner has pointed the connection at one of its own.
            connection.settings_dict.update({name: owner[name] for name in ("USER", "PASSWORD", "HOST", "PORT")})
            connection.settings_dict["OPTIONS"] |= owner.get("OPTIONS", {})
        super().handle(*args, **options)
        if options["plan"] or options["check_unapplied"]:
            return
        # A test database begins with an empty log: only its runner asks for tables without migrations.
        has_log = Entry._meta.db_table in connection.introspection.table_names()
        if has_log and not options["run_syncdb"] and not options["prune"]:
            with transaction.atomic(), auditing(actor="system:migrate"):
                record(action="database.migrated", data={"app": options["app_label"] or "all"})
        faults = grant_roles(
            connection=connection, application=settings.DATABASE_APP_ROLE, sequencer=settings.DATABASE_SEQUENCER_ROLE
        )
        for fault in faults if options["verbosity"] >= 1 else ():
            self.stderr.write(self.style.WARNING(fault))
