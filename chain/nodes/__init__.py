"""Clients of EVM nodes: one endpoint, and several as one."""

from chain.nodes.node import Node

__all__ = ["Node"]
