"""PostgreSQL's backend, whose pool notices a restarted server at once."""
