"""API keys, the token bucket, usage and the CIDR bypass."""
