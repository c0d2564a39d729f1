"""Settings by subject; base.py puts them together."""
