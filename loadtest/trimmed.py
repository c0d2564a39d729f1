"""Psephos's WSGI application with some middleware left out, to see what each costs. For measuring only."""

import os

import django
from django.conf import settings

django.setup()
without = [name for name in os.environ.get("BENCH_WITHOUT", "").split(",") if name]
settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not any(part in name for part in without)]

from config.wsgi import application  # noqa: E402

__all__ = ["application"]
