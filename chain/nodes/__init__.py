"""Clients of EVM nodes: one endpoint, and several as one."""

from chain.nodes.node import Node
from chain.nodes.pool import Nodes

__all__ = ["Node", "Nodes"]
