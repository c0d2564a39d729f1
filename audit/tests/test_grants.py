import os
import subprocess
import sys
import threading
from contextlib import suppress

import psycopg
import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection

from audit.exceptions import MayNotSequence
from audit.models import Entry
from audit.services import grant_roles, make_sequencer, record, sequence_all
from audit.tests.factories import wait_for
from audit.tests.roles import INSERT, LEAF, as_role, conninfo, database_url, rights_of

ROLES = ("psephos_app", "psephos_sequencer")
TABLES = [model._meta.db_table for model in apps.get_app_config("audit").get_models()]
# What the sequencer alone may write.
SEQUENCED = ["audit_leaf", "audit_tile", "audit_checkpoint"]

FORBIDDEN = [
    "UPDATE {0} SET {1} = {1}",
    "DELETE FROM {0}",
    "TRUNCATE {0} CASCADE",
    "ALTER TABLE {0} DISABLE TRIGGER ALL",
    "ALTER TABLE {0} ADD COLUMN x int",
    "ALTER TABLE {0} OWNER TO {2}",
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
def test_neither_role_may_change_what_is_there(table):
    entry = record(action="tests.kept")
    model = next(model for model in apps.get_app_config("audit").get_models() if model._meta.db_table == table)
    for role in ROLES:
        before = rights_of(role)
        with as_role(role) as other:
            for statement in FORBIDDEN:
                with pytest.raises(psycopg.errors.InsufficientPrivilege), other.transaction():
                    other.execute(statement.format(table, model._meta.pk.column, role))
            # PostgreSQL answers a grant of some of what one does not hold with a mere warning.
            with suppress(psycopg.errors.InsufficientPrivilege):
                other.execute(f"GRANT ALL ON {table} TO {role}")
        assert rights_of(role) == before
    assert Entry.objects.get().pk == entry


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", SEQUENCED)
def test_the_application_writes_no_leaf_no_tile_and_no_checkpoint(table):
    model = next(model for model in apps.get_app_config("audit").get_models() if model._meta.db_table == table)
    columns = ", ".join(field.column for field in model._meta.local_concrete_fields)
    with as_role("psephos_app") as app:
        for statement in (
            f"INSERT INTO {table} SELECT * FROM {table}",
            f"INSERT INTO {table} DEFAULT VALUES",
            f"COPY {table} FROM STDIN",
            f"COPY {table} ({columns}) FROM STDIN",
            f"MERGE INTO {table} USING (SELECT 1) one ON false WHEN NOT MATCHED THEN INSERT DEFAULT VALUES",
            f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match=table), app.transaction():
                app.execute(statement)
        sequence = app.execute("SELECT pg_get_serial_sequence(%s, %s)", [table, model._meta.pk.column]).fetchone()[0]
        if sequence:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute("SELECT nextval(%s)", [sequence])
    assert not model.objects.exists()


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
        "COPY audit_entry TO PROGRAM 'cat'",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM audit_entry RETURNING 1'",
        "SET SESSION AUTHORIZATION psephos_owner",
        "CREATE SCHEMA mine",
        "WITH gone AS (DELETE FROM audit_entry RETURNING id) SELECT * FROM gone",
        "MERGE INTO audit_entry e USING audit_entry s ON e.id = s.id WHEN MATCHED THEN DELETE",
        f"{INSERT}) SELECT id, created_at, 'x', actor, target, data, '' FROM audit_entry"
        " ON CONFLICT (id) DO UPDATE SET action = 'x'",
        "COPY audit_entry (id, created_at, action, actor, target, data, request_id, transaction) FROM STDIN",
        "GRANT psephos_owner TO psephos_app",
        "UPDATE pg_trigger SET tgenabled = 'D'",
        f"{INSERT}, transaction) VALUES (gen_random_uuid(), now(), 'tests.hidden', 'system', '', '{{}}', '', 1)",
    ],
)
def test_neither_role_can_step_around(statement):
    for role in ROLES:
        with as_role(role) as other, pytest.raises(psycopg.errors.InsufficientPrivilege):
            other.execute(statement)


@pytest.mark.django_db(transaction=True)
def test_neither_role_becomes_the_other_or_ends_its_sessions():
    for role, other in (ROLES, ROLES[::-1]):
        with as_role(role) as mine, as_role(other) as theirs:
            for statement in (
                f"SET ROLE {other}",
                f"SET SESSION AUTHORIZATION {other}",
                f"GRANT {other} TO {role}",
                f"SELECT pg_terminate_backend({theirs.info.backend_pid})",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    mine.execute(statement)


def expected_rights(role):
    """Return what docs/adr/0011 says that a role may do."""
    kept, added = {"SELECT"}, {"SELECT", "INSERT"}
    if role == "psephos_sequencer":
        return {"public": {"USAGE"}} | dict.fromkeys(("audit_entry", *SEQUENCED), added)
    with as_role("postgres") as superuser:
        names = dict(
            superuser.execute("SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        )
    rights = {"public": {"USAGE"}, "django_migrations": kept}
    rights |= {table: kept if table in SEQUENCED else added for table in TABLES}
    for name, kind in names.items():
        if kind == "r":
            rights.setdefault(name, {"SELECT", "INSERT", "UPDATE", "DELETE"})
        elif kind == "S" and name not in {"audit_tile_id_seq", "audit_checkpoint_id_seq"}:
            rights[name] = {"SELECT", "USAGE"}
    return rights


@pytest.mark.django_db(transaction=True)
def test_each_role_has_exactly_its_rights():
    for role in ROLES:
        assert rights_of(role) == expected_rights(role)
    with as_role("postgres") as superuser:
        owned = "SELECT count(*) FROM pg_class WHERE relowner::regrole::text = ANY(%s)"
        assert superuser.execute(owned, [list(ROLES)]).fetchone() == (0,)
        for role in ROLES:
            columns = "SELECT has_column_privilege(%s, 'audit_entry', 'transaction', 'INSERT')"
            assert superuser.execute(columns, [role]).fetchone() == (False,)
    with as_role("psephos_sequencer") as sequencer, pytest.raises(psycopg.errors.InsufficientPrivilege):
        sequencer.execute("SELECT * FROM accounts_user")


@pytest.mark.django_db(transaction=True)
def test_whoever_may_not_sequence_is_told_so_at_once():
    record(action="tests.waiting")
    said = (
        "the role psephos_app may not write the audit log's leaves and checkpoints:"
        " give the sequencer a DATABASE_URL of psephos_sequencer"
    )
    with pytest.raises(MayNotSequence, match=said):
        sequence_all(conninfo=conninfo("psephos_app"))
    with pytest.raises(MayNotSequence, match=said):
        make_sequencer(conninfo=conninfo("psephos_app")).run(threading.Event())
    assert sequence_all(conninfo=conninfo("psephos_sequencer")) == 1


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
def test_migrating_again_takes_away_what_was_granted_by_hand(capsys):
    former = f"psephos_former_{os.getpid()}"
    with as_role("postgres") as superuser:
        for statement in (
            "GRANT ALL ON audit_entry, audit_tile TO psephos_app WITH GRANT OPTION",
            # As a database that an earlier version migrated.
            "GRANT INSERT (seq, entry_id, body, entry_hash) ON audit_leaf TO psephos_app",
            "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO psephos_app, psephos_sequencer",
            "GRANT ALL ON accounts_user, django_migrations TO psephos_sequencer, PUBLIC",
            "GRANT SELECT (subject) ON accounts_identity TO psephos_sequencer",
            "GRANT CREATE ON SCHEMA public TO psephos_app, psephos_sequencer",
            f"CREATE ROLE {former}",
            f"GRANT SELECT ON audit_leaf, accounts_user TO {former}",
            f"GRANT INSERT (seq, entry_id, body, entry_hash) ON audit_leaf TO {former}",
        ):
            superuser.execute(statement)
        with as_role("psephos_app") as app:
            app.execute("GRANT UPDATE ON audit_tile TO psephos_sequencer")
            app.execute(LEAF.format(7))
        call_command("migrate", verbosity=1)
        for role in ROLES:
            assert rights_of(role) == expected_rights(role)
        assert rights_of(former) == {"public": {"USAGE"}, "audit_leaf": {"SELECT"}, "accounts_user": {"SELECT"}}
        superuser.execute(f"DROP OWNED BY {former}")
        superuser.execute(f"DROP ROLE {former}")
    assert capsys.readouterr().err == ""


@pytest.mark.django_db(transaction=True)
def test_granting_again_waits_for_nobody_and_nobody_notices():
    record(action="tests.kept")
    sequence_all()
    is_over = threading.Event()
    insert = f"{INSERT}) VALUES (gen_random_uuid(), now(), 'tests.meanwhile', 'system', '', '{{}}', '')"
    counts = []

    def write_on():
        with as_role("psephos_app") as app:
            while not is_over.is_set():
                counts.append(app.execute(insert).rowcount)
                app.execute("SELECT count(*) FROM audit_leaf")

    thread = threading.Thread(target=write_on)
    thread.start()
    with as_role("psephos_app") as open_one, open_one.transaction():
        open_one.execute(insert)
        for _ in range(3):
            seen = len(counts)
            grant_roles(connection=connection, application="psephos_app", sequencer="psephos_sequencer")
            wait_for(lambda seen=seen: len(counts) > seen + 2)
        open_one.execute(insert)
    is_over.set()
    thread.join(20)
    assert Entry.objects.filter(action="tests.meanwhile").count() == len(counts) + 2


@pytest.mark.django_db(transaction=True)
def test_a_leader_whose_rights_are_taken_away_says_so():
    with as_role("postgres") as superuser:
        superuser.execute("REVOKE INSERT ON audit_tile FROM psephos_sequencer")
        try:
            with pytest.raises(MayNotSequence, match=r"the role psephos_sequencer may not .*: run `migrate`"):
                make_sequencer(conninfo=conninfo("psephos_sequencer")).run(threading.Event())
        finally:
            superuser.execute("GRANT INSERT ON audit_tile TO psephos_sequencer")
    record(action="tests.kept")
    sequencer = make_sequencer(conninfo=conninfo("psephos_sequencer"))

    def refuse(connection, stop):
        connection.execute("UPDATE audit_leaf SET seq = 1")

    sequencer.lead = refuse
    with pytest.raises(
        MayNotSequence, match="rights were taken away meanwhile: permission denied for table audit_leaf"
    ):
        sequencer.run(threading.Event())


@pytest.mark.django_db
def test_roles_that_grants_cannot_bind_are_named():
    def faults(application="psephos_app", sequencer="psephos_sequencer"):
        return grant_roles(connection=connection, application=application, sequencer=sequencer)

    assert faults() == []
    assert faults(sequencer="nobody_such") == [
        "there is no role nobody_such to grant rights to: only postgres could run the sequencer"
    ]
    assert faults(application="nobody_such") == [
        "there is no role nobody_such to grant rights to: only postgres could serve"
    ]
    assert faults(application="postgres")[1:] == [
        "postgres may act as psephos_sequencer: whoever takes over the one has the rights of the other"
    ]
    assert "owns the tables itself" in faults(application="postgres")[0]
    with connection.cursor() as cursor:
        cursor.execute("GRANT psephos_sequencer TO psephos_app")
    assert faults() == [
        "psephos_app may act as psephos_sequencer: whoever takes over the one has the rights of the other"
    ]


@pytest.mark.slow
@pytest.mark.django_db
def test_migrations_run_as_the_owner_and_the_application_serves():
    name = f"owned_{connection.settings_dict['NAME']}"
    with as_role("postgres") as superuser:
        superuser.execute(f"CREATE DATABASE {name} OWNER psephos_owner")
    try:
        urls = {role: database_url(role=role, database=name) for role in ("psephos_owner", *ROLES)}
        environment = os.environ | {
            "DATABASE_URL": urls["psephos_app"],
            "MIGRATION_DATABASE_URL": urls["psephos_owner"],
        }
        done = subprocess.run(
            [sys.executable, "manage.py", "migrate", "-v", "1"], env=environment, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        for role in ROLES:
            assert rights_of(role, database_url(database=name)) == expected_rights(role)
        with psycopg.connect(urls["psephos_app"], autocommit=True) as app:
            owners = app.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'").fetchall()
            assert owners == [("psephos_owner",)]
            entries = app.execute("SELECT action, actor FROM audit_entry").fetchall()
            assert entries == [("database.migrated", "system:migrate")]
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute("DELETE FROM audit_entry")
        # The application's role may not sequence, and its own is told of it in one line.
        done = subprocess.run(
            [sys.executable, "manage.py", "run_sequencer"], env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 1
        assert done.stderr == (
            "CommandError: the role psephos_app may not write the audit log's leaves and checkpoints:"
            " give the sequencer a DATABASE_URL of psephos_sequencer\n"
        )
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
