#!/bin/sh
# Runs once, when the database is made: the role that owns the tables and the one that the application uses.
set -eu
owner=$(cat /run/secrets/psephos_owner_password)
app=$(cat /run/secrets/psephos_app_password)
psql -v ON_ERROR_STOP=1 -v owner="$owner" -v app="$app" -U "${POSTGRES_USER:-postgres}" -d "$POSTGRES_DB" <<'SQL'
CREATE ROLE psephos_owner LOGIN PASSWORD :'owner';
CREATE ROLE psephos_app LOGIN PASSWORD :'app';
ALTER DATABASE psephos OWNER TO psephos_owner;
SQL
