"""The domain: elections, lifecycle, tallies, and the fold from events to state."""
