"""Settings of observability."""
