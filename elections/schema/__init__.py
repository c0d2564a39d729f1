"""GraphQL: elections, their census and what may be asked of the chain, over what REST uses."""

from elections.schema import census, mutations, queries

PERMISSIONS = queries.PERMISSIONS | mutations.PERMISSIONS | census.PERMISSIONS
SCOPES = queries.SCOPES | mutations.SCOPES | census.SCOPES


class Query(queries.Query, census.Query):
    """Reads of elections and censuses."""


class Mutation(mutations.Mutation, census.Mutation):
    """Changes of elections and censuses."""
