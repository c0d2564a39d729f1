"""Users, roles, eID sign-in and tokens."""
