"""Serves WebSockets, and HTTP on the same port where nothing else serves it (`make run`, health checks)."""

from typing import Annotated

import typer
from django_typer.management import TyperCommand

from config.server import serve


class Command(TyperCommand):
    help = "Serve WebSockets, and HTTP beside them, until SIGTERM."
    requires_system_checks = ()

    def handle(
        self,
        host: Annotated[str, typer.Option(help="Address to listen on")] = "127.0.0.1",
        port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on")] = 8001,
        grace: Annotated[int, typer.Option(min=1, help="Seconds that begun requests get at the end")] = 20,
    ) -> None:
        serve(host=host, port=port, grace_seconds=grace)
