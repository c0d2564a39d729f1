"""docs/asyncapi.yaml names every socket, and its schemas fit what is sent."""

import re
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from chain.hub import HeadHub
from chain.tests.test_consumers import block
from config.routing import websocket_urlpatterns

DOCUMENT: dict[str, Any] = yaml.safe_load(
    (Path(__file__).resolve().parent.parent.parent / "docs" / "asyncapi.yaml").read_text()
)


def test_every_route_is_documented() -> None:
    routes = {"/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(route.pattern)) for route in websocket_urlpatterns}
    assert routes == {channel["address"] for channel in DOCUMENT["channels"].values()}


def test_what_the_hub_writes_fits_the_schema() -> None:
    import json

    schema = DOCUMENT["components"]["messages"]["block"]["payload"]
    hub = HeadHub(31337)
    for message in (None, block(7), block(8, next_end={"election": "31337-aa-1", "end_block": 20})):
        written = json.loads(hub._write(message, ""))
        jsonschema.validate(written, schema)
        assert set(written) <= set(schema["properties"])
