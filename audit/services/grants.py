"""What the application's role and the sequencer's may do in the database."""

from collections.abc import Iterator

from django.apps import apps
from django.db import models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from audit.models import Anchor, Checkpoint, Entry, Export, Leaf, Tile, Verification

# Whoever takes over the application can add entries, at the most: what makes a log of them is the sequencer's alone.
APPLICATION_RECORDS: tuple[type[models.Model], ...] = (Entry, Export, Anchor, Verification)
SEQUENCER_WRITES: tuple[type[models.Model], ...] = (Leaf, Tile, Checkpoint)

# No grant keeps a role from what it may do as another: as a superuser, a member of it, or the same one.
MERGED = """
SELECT a.rolname, b.rolname FROM pg_roles a, pg_roles b
WHERE a.rolname IN (%(application)s, %(sequencer)s)
    AND (b.rolname = current_user OR b.rolname IN (%(application)s, %(sequencer)s) AND b.oid <> a.oid)
    AND pg_has_role(a.oid, b.oid, 'MEMBER')
ORDER BY a.rolname, b.rolname
"""

# Who else was granted more than reading of the log, on a table or a column: a former role, somebody's by hand.
OTHER_WRITERS = """
SELECT DISTINCT r.rolname FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid
CROSS JOIN LATERAL aclexplode(c.relacl || a.attacl) granted
JOIN pg_roles r ON r.oid = granted.grantee
WHERE c.oid = ANY(%s::regclass[]) AND r.oid <> c.relowner AND granted.privilege_type <> 'SELECT'
"""


def grant_roles(*, connection: BaseDatabaseWrapper, application: str, sequencer: str) -> list[str]:
    """Leave the application's role and the sequencer's the rights that they need and no other, whatever they had.

    From other roles it takes the right to write the audit log. Run by `migrate` as the tables' owner, in one
    transaction: an application that runs meanwhile notices nothing. Safe to repeat. Returns a sentence for each thing
    that keeps the grants from holding.
    """
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute("SELECT current_user, array(SELECT rolname::text FROM pg_roles)")
        owner, roles = cursor.fetchone()
        grantees = [role for role in (application, sequencer) if role in roles and role != owner]
        tables = [model._meta.db_table for model in apps.get_app_config("audit").get_models()]
        cursor.execute(OTHER_WRITERS, [tables])
        for statement in _revocations(tables, [role for (role,) in cursor.fetchall()]):
            cursor.execute(statement)
        for statement in _grants(application, sequencer, grantees, database=str(connection.settings_dict["NAME"])):
            cursor.execute(statement)
        # Rows get their ids without it, and whoever has it can leave gaps.
        for model in SEQUENCER_WRITES if application in grantees else ():
            for sequence in connection.introspection.get_sequences(cursor, model._meta.db_table):
                names = [sql.Identifier(str(sequence["name"])), sql.Identifier(application)]
                cursor.execute(sql.SQL("REVOKE ALL ON SEQUENCE {} FROM {}").format(*names))
        cursor.execute(MERGED, {"application": application, "sequencer": sequencer})
        merged = cursor.fetchall()
    faults = []
    if application not in roles:
        faults.append(f"there is no role {application} to grant rights to: only {owner} could serve")
    if sequencer not in roles:
        faults.append(f"there is no role {sequencer} to grant rights to: only {owner} could run the sequencer")
    for role, other in merged:
        if role == other:
            faults.append(f"{role} owns the tables itself: nothing but triggers keeps the audit log append-only")
        else:
            faults.append(f"{role} may act as {other}: whoever takes over the one has the rights of the other")
    return faults


def _revocations(tables: list[str], writers: list[str]) -> Iterator[sql.Composed]:
    listed = sql.SQL(", ").join(map(sql.Identifier, tables))
    revoke = "REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON {} FROM {} CASCADE"
    for role in writers:
        yield sql.SQL(revoke).format(listed, sql.Identifier(role))


def _grants(application: str, sequencer: str, grantees: list[str], *, database: str) -> Iterator[sql.Composed]:
    everybody = sql.SQL(", ").join([*map(sql.Identifier, grantees), sql.SQL("PUBLIC")])
    yield sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {} CASCADE").format(everybody)
    yield sql.SQL("REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {} CASCADE").format(everybody)
    yield sql.SQL("REVOKE CREATE ON SCHEMA public FROM {} CASCADE").format(everybody)
    yield sql.SQL("REVOKE CREATE ON DATABASE {} FROM {} CASCADE").format(sql.Identifier(database), everybody)
    for role in grantees:
        yield sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(sql.Identifier(role))
    if application in grantees:
        yield from _grants_of_application(sql.Identifier(application))
    if sequencer in grantees:
        # A quiet log's heartbeats are entries.
        yield _grant_of_reading_and_adding(Entry, sql.Identifier(sequencer))
        for model in SEQUENCER_WRITES:
            yield _grant_of_reading_and_adding(model, sql.Identifier(sequencer))


def _grants_of_application(role: sql.Identifier) -> Iterator[sql.Composed]:
    yield sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {}").format(role)
    yield sql.SQL("GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {}").format(role)
    # Nobody but the owner says which migrations ran.
    yield sql.SQL("REVOKE INSERT, UPDATE, DELETE ON django_migrations FROM {}").format(role)
    for model in apps.get_app_config("audit").get_models():
        table = sql.Identifier(model._meta.db_table)
        yield sql.SQL("REVOKE INSERT, UPDATE, DELETE ON {} FROM {}").format(table, role)
    for model in APPLICATION_RECORDS:
        yield _grant_of_reading_and_adding(model, role)


def _grant_of_reading_and_adding(model: type[models.Model], role: sql.Identifier) -> sql.Composed:
    table = sql.Identifier(model._meta.db_table)
    if model is not Entry:
        return sql.SQL("GRANT SELECT, INSERT ON {} TO {}").format(table, role)
    # A forged number of the transaction could hide an entry from the sequencer.
    columns = [str(field.column) for field in model._meta.local_concrete_fields if field.column != "transaction"]
    listed = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL("GRANT SELECT, INSERT ({}) ON {} TO {}").format(listed, table, role)
