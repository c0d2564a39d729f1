"""WSGI entry point: all of HTTP."""

import gc
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

application = get_wsgi_application()

# What is loaded stays until the end: the collector need not walk over it in every full collection, which costs
# several milliseconds in the middle of a request.
gc.collect()
gc.freeze()
