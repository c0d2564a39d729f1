"""The append-only log: entries, tree, checkpoints, export, verification."""
