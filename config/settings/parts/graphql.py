"""Settings of graphql."""
