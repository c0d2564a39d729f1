"""Refuse UPDATE, DELETE and TRUNCATE on the log, whoever asks."""

from django.db import migrations

TABLES = ["entry", "leaf", "tile", "checkpoint", "export", "anchor", "verification"]

FUNCTION = """
CREATE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$
"""

TRIGGERS = """
CREATE TRIGGER audit_{0}_append_only BEFORE UPDATE OR DELETE ON audit_{0}
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_{0}_no_truncate BEFORE TRUNCATE ON audit_{0}
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
"""

NO_TRIGGERS = """
DROP TRIGGER audit_{0}_append_only ON audit_{0};
DROP TRIGGER audit_{0}_no_truncate ON audit_{0};
"""


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]

    operations = [
        migrations.RunSQL(FUNCTION, "DROP FUNCTION audit_refuse_change()"),
        *[migrations.RunSQL(TRIGGERS.format(name), NO_TRIGGERS.format(name)) for name in TABLES],
    ]
