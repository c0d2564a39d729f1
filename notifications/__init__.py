"""Outbox, templates, delivery by e-mail and SMS."""
