"""Settings of GraphQL."""

from config.settings.env import env

GRAPHENE = {"SCHEMA": "config.schema.schema", "SCHEMA_OUTPUT": "docs/schema.graphql", "TESTING_ENDPOINT": "/graphql"}

# Refused before anything is parsed.
GRAPHQL_MAX_BODY_BYTES: int = env.int("GRAPHQL_MAX_BODY_BYTES", 100_000)
GRAPHQL_MAX_QUERY_CHARACTERS: int = env.int("GRAPHQL_MAX_QUERY_CHARACTERS", 20_000)
GRAPHQL_MAX_TOKENS: int = env.int("GRAPHQL_MAX_TOKENS", 1500)
# Refused before validation.
GRAPHQL_MAX_DEPTH: int = env.int("GRAPHQL_MAX_DEPTH", 12)
GRAPHQL_MAX_FIELDS: int = env.int("GRAPHQL_MAX_FIELDS", 300)
GRAPHQL_MAX_ALIASES: int = env.int("GRAPHQL_MAX_ALIASES", 20)
GRAPHQL_MAX_DIRECTIVES: int = env.int("GRAPHQL_MAX_DIRECTIVES", 20)
GRAPHQL_MAX_FRAGMENTS: int = env.int("GRAPHQL_MAX_FRAGMENTS", 20)
# A field costs one point, times the size of the lists that it is in. Fifty elections with all that lists show fit
# into one token of the caller's rate limit.
GRAPHQL_MAX_COST: int = env.int("GRAPHQL_MAX_COST", 20_000)
GRAPHQL_COST_PER_TOKEN: int = env.int("GRAPHQL_COST_PER_TOKEN", 2_000)
GRAPHQL_TIMEOUT_SECONDS: float = env.float("GRAPHQL_TIMEOUT_SECONDS", 5)
# Both only in `make run` (config/settings/local.py).
GRAPHQL_INTROSPECTION = False
GRAPHIQL = False
