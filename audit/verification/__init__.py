"""Checks the log: in the database, in exports, in bundles, on chain. Pure: nothing in here imports Django."""
