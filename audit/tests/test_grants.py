import os
import subprocess
import sys

import psycopg
import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection

from audit.models import Entry
from audit.services import record
from audit.tests.roles import as_role, database_url

TABLES = [model._meta.db_table for model in apps.get_app_config("audit").get_models()]
INSERT = "INSERT INTO audit_entry (id, created_at, action, actor, target, data, request_id"

FORBIDDEN = [
    "UPDATE {0} SET {1} = {1}",
    "DELETE FROM {0}",
    "TRUNCATE {0} CASCADE",
    "ALTER TABLE {0} DISABLE TRIGGER ALL",
    "ALTER TABLE {0} ADD COLUMN x int",
    "ALTER TABLE {0} OWNER TO psephos_app",
    "DROP TABLE {0} CASCADE",
    "DROP TRIGGER {0}_append_only ON {0}",
    "CREATE RULE hide AS ON INSERT TO {0} DO INSTEAD NOTHING",
    "CREATE TRIGGER t BEFORE INSERT ON {0} FOR EACH ROW EXECUTE FUNCTION audit_refuse_change()",
    "SELECT * FROM {0} FOR UPDATE",
    "LOCK TABLE {0} IN ACCESS EXCLUSIVE MODE",
]


@pytest.mark.django_db(transaction=True)
def test_the_application_may_add_to_the_log_and_read_it():
    with as_role("psephos_app") as app:
        app.execute(f"{INSERT}) VALUES (gen_random_uuid(), now(), 'tests.a', 'system', '', '{{}}', '')")
        assert app.execute("SELECT action FROM audit_entry").fetchall() == [("tests.a",)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", TABLES)
def test_the_application_may_do_nothing_else(table):
    entry = record(action="tests.kept")
    model = next(model for model in apps.get_app_config("audit").get_models() if model._meta.db_table == table)
    with as_role("psephos_app") as app:
        for statement in FORBIDDEN:
            with pytest.raises(psycopg.errors.InsufficientPrivilege), app.transaction():
                app.execute(statement.format(table, model._meta.pk.column))
        # PostgreSQL answers a grant of what one does not hold with a mere warning.
        app.execute(f"GRANT ALL ON {table} TO psephos_app")
        assert not app.execute("SELECT has_table_privilege(%s, 'UPDATE')", [table]).fetchone()[0]
    assert Entry.objects.get().pk == entry.pk


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "statement",
    [
        "SET session_replication_role = replica",
        "CREATE OR REPLACE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "ALTER FUNCTION audit_refuse_change() RENAME TO gone",
        "CREATE TABLE audit_mine (id int)",
        "SET ROLE psephos_owner",
        "ALTER SYSTEM SET session_replication_role = replica",
        "DELETE FROM django_migrations",
        f"{INSERT}, transaction) VALUES (gen_random_uuid(), now(), 'tests.hidden', 'system', '', '{{}}', '', 1)",
    ],
)
def test_the_application_cannot_step_around(statement):
    with as_role("psephos_app") as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(statement)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", TABLES)
def test_triggers_refuse_even_the_owner(table):
    record(action="tests.kept")
    with as_role("postgres") as superuser:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only: TRUNCATE refused"):
            superuser.execute(f"TRUNCATE {table} CASCADE")
        if table == "audit_entry":
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="UPDATE refused"):
                superuser.execute("UPDATE audit_entry SET action = 'x'")
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="DELETE refused"):
                superuser.execute("DELETE FROM audit_entry")


@pytest.mark.django_db(transaction=True)
def test_the_application_works_as_usual_on_every_other_table():
    with as_role("psephos_app") as app:
        rows = app.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            " AND NOT (has_table_privilege(oid, 'INSERT') AND has_table_privilege(oid, 'UPDATE')"
            " AND has_table_privilege(oid, 'DELETE'))"
        ).fetchall()
        owned = app.execute("SELECT count(*) FROM pg_tables WHERE tableowner = 'psephos_app'").fetchone()[0]
    assert {name for (name,) in rows} == {*TABLES, "django_migrations"}
    assert owned == 0


@pytest.mark.django_db(transaction=True)
def test_migrating_again_repeats_the_grants(capsys):
    with as_role("postgres") as superuser:
        superuser.execute("GRANT ALL ON audit_entry TO psephos_app")
    call_command("migrate", verbosity=1)
    with as_role("psephos_app") as app:
        assert not app.execute("SELECT has_table_privilege('audit_entry', 'DELETE')").fetchone()[0]
    assert "got no grants" not in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.django_db
def test_migrations_run_as_the_owner_and_the_application_serves():
    name = f"owned_{connection.settings_dict['NAME']}"
    with as_role("postgres") as superuser:
        superuser.execute(f"CREATE DATABASE {name} OWNER psephos_owner")
    try:
        urls = {role: database_url(role=role, database=name) for role in ("psephos_owner", "psephos_app")}
        environment = os.environ | {
            "DATABASE_URL": urls["psephos_app"],
            "MIGRATION_DATABASE_URL": urls["psephos_owner"],
        }
        done = subprocess.run(
            [sys.executable, "manage.py", "migrate", "-v", "1"], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "got no grants" not in done.stderr
        with psycopg.connect(urls["psephos_app"], autocommit=True) as app:
            owners = app.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'").fetchall()
            assert owners == [("psephos_owner",)]
            entries = app.execute("SELECT action, actor FROM audit_entry").fetchall()
            assert entries == [("database.migrated", "system:migrate")]
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute("DELETE FROM audit_entry")
        # The application may not run them itself.
        done = subprocess.run(
            [sys.executable, "manage.py", "migrate", "accounts", "zero"],
            env=environment | {"MIGRATION_DATABASE_URL": ""},
            capture_output=True,
            text=True,
        )
        assert done.returncode != 0
    finally:
        with as_role("postgres") as superuser:
            superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")
