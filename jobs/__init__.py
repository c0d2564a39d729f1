"""Job rows, progress, and the registry of job types."""
