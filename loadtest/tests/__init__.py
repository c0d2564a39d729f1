"""Tests of the load test, and of abuse that only a real server shows."""
