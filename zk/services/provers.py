"""Gives each process its prover, by the setting ZK_PROVER."""

import atexit
from functools import cache
from pathlib import Path

from django.conf import settings

from zk.prover.base import Prover
from zk.prover.native import NativeProver
from zk.prover.snarkjs import SnarkjsProver
from zk.registry import usable_circuit


@cache
def get_prover() -> Prover:
    """Return this process's prover; its own process starts with the first proof."""
    if settings.ZK_PROVER == "snarkjs":
        return SnarkjsProver(node_modules=Path(settings.ZK_NODE_MODULES))
    prover = NativeProver()
    atexit.register(prover.close)
    return prover


def preload(names: list[str]) -> None:
    """Load circuits' keys ahead of the first proof."""
    for name in names:
        get_prover().load(usable_circuit(name).files(for_proving=True))
