"""Requests to the proofs API."""

import json

from django.test import Client


def post(client: Client, circuit: str, value, headers=None, query: str = ""):
    return client.post(f"/api/zk/{circuit}{query}", json.dumps(value), "application/json", headers=headers or {})
