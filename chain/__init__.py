"""The EVM adapter: node clients, contracts, indexer and head listener."""
