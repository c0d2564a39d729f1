"""What the application's role may do in the database."""

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql


def grant_application_role(*, connection: BaseDatabaseWrapper, role: str) -> bool:
    """Grant the application's role its rights on every table; on the audit log only SELECT and INSERT.

    Run by `migrate` as the tables' owner, and safe to repeat. Returns False, having done nothing, when there is no
    such role or it is the owner itself, whom grants cannot bind.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user = %s, EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", [role, role])
        is_owner, is_there = cursor.fetchone()
        if is_owner or not is_there:
            return False
        for statement in _grants(role):
            cursor.execute(statement)
    return True


def _grants(role: str) -> list[sql.Composed]:
    name = sql.Identifier(role)
    schema = "GRANT USAGE ON SCHEMA public TO {}"
    rows = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {}"
    sequences = "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {}"
    statements = [sql.SQL(text).format(name) for text in (schema, rows, sequences)]
    # Nobody but the owner says which migrations ran.
    statements.append(sql.SQL("REVOKE INSERT, UPDATE, DELETE ON django_migrations FROM {}").format(name))
    for model in apps.get_app_config("audit").get_models():
        table = sql.Identifier(model._meta.db_table)
        columns = [str(field.column) for field in model._meta.local_concrete_fields if field.column != "transaction"]
        listed = sql.Composed([sql.Identifier(column) for column in columns]).join(", ")
        statements.append(sql.SQL("REVOKE ALL ON {} FROM {}, PUBLIC").format(table, name))
        statements.append(sql.SQL("GRANT SELECT, INSERT ({}) ON {} TO {}").format(listed, table, name))
    return statements
