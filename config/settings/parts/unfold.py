"""Settings of unfold."""
