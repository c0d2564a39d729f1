"""The ports that people address on one machine, and who holds one that is taken."""

import contextlib
import os
import socket

import psutil


class PortRefused(Exception):
    """A port that cannot be had; the message says why and what to do."""


def wanted_ports() -> dict[str, int]:
    """Return the ports that people address, all derived from PORT."""
    text = os.environ.get("PORT", "8000")
    if not text.isdigit() or not 1024 <= int(text) <= 64000:
        raise PortRefused(f"PORT={text} is not a port between 1024 and 64000.")
    return {"web": int(text), "EVM node": int(text) + 545, "sign-in provider": int(text) + 90}


def owner_of(port: int) -> str:
    """Name the process that listens on a port, as far as we may see it."""
    with contextlib.suppress(psutil.Error, PermissionError):
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                if connection.pid:
                    return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
                break
    return ""


def check_ports(wanted: dict[str, int]) -> None:
    """Raise PortRefused, naming who listens there, when one of the ports is taken."""
    for name, port in wanted.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                free = wanted["web"] + 100
                raise PortRefused(
                    f"Port {port} ({name}) is taken{owner_of(port)}.\n"
                    f"Stop that, or choose other ports: make run PORT={free}"
                ) from None
