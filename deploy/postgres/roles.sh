#!/bin/sh
# Runs once, when the database is made: the roles of the tables' owner, the application and the audit log's sequencer.
# A database that was made before a role came: create it by hand, then run the migration, which grants it its rights.
set -eu
owner=$(cat /run/secrets/psephos_owner_password)
app=$(cat /run/secrets/psephos_app_password)
sequencer=$(cat /run/secrets/psephos_sequencer_password)
psql -v ON_ERROR_STOP=1 -v owner="$owner" -v app="$app" -v sequencer="$sequencer" \
  -U "${POSTGRES_USER:-postgres}" -d "$POSTGRES_DB" <<'SQL'
CREATE ROLE psephos_owner LOGIN PASSWORD :'owner';
CREATE ROLE psephos_app LOGIN PASSWORD :'app';
CREATE ROLE psephos_sequencer LOGIN PASSWORD :'sequencer';
ALTER DATABASE psephos OWNER TO psephos_owner;
SQL
