"""Committed contract artifacts, and the encoding of calls."""

import functools
from pathlib import Path
from typing import Any

import eth_abi
import orjson
from eth_utils import keccak

ARTIFACTS = Path(__file__).parent / "contracts" / "artifacts"


@functools.cache
def artifact(name: str) -> dict[str, Any]:
    """Return a contract's artifact: `abi` and `bytecode` (made by `make contracts`)."""
    content: dict[str, Any] = orjson.loads((ARTIFACTS / f"{name}.json").read_bytes())
    return content


def has_artifact(name: str) -> bool:
    return (ARTIFACTS / f"{name}.json").exists()


def type_of(parameter: dict[str, Any]) -> str:
    """Return a parameter's canonical type; a tuple as its components."""
    kind: str = parameter["type"]
    if kind.startswith("tuple"):
        return f"({','.join(type_of(part) for part in parameter['components'])}){kind[5:]}"
    return kind


def signature(entry: dict[str, Any]) -> str:
    return f"{entry['name']}({','.join(type_of(parameter) for parameter in entry['inputs'])})"


def topic0(entry: dict[str, Any]) -> str:
    """Return the first topic of an event's logs, `0x…`."""
    return "0x" + keccak(text=signature(entry)).hex()


def find(abi: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    return next(entry for entry in abi if entry["type"] == kind and entry["name"] == name)


def encode_call(abi: list[dict[str, Any]], name: str, arguments: list[Any] | tuple[Any, ...]) -> str:
    """Encode a function call as `0x…`."""
    entry = find(abi, "function", name)
    types = [type_of(parameter) for parameter in entry["inputs"]]
    return "0x" + (keccak(text=signature(entry))[:4] + eth_abi.encode(types, list(arguments))).hex()


def encode_deployment(name: str, arguments: list[Any] | tuple[Any, ...] = ()) -> str:
    """Encode a contract's creation: bytecode and constructor arguments as `0x…`."""
    content = artifact(name)
    constructor = next((entry for entry in content["abi"] if entry["type"] == "constructor"), None)
    types = [type_of(parameter) for parameter in constructor["inputs"]] if constructor else []
    return str(content["bytecode"]) + eth_abi.encode(types, list(arguments)).hex()


def decode_result(abi: list[dict[str, Any]], name: str, data: str) -> tuple[Any, ...]:
    """Decode what a function returned."""
    entry = find(abi, "function", name)
    return tuple(eth_abi.decode([type_of(part) for part in entry["outputs"]], bytes.fromhex(data[2:])))


def error_name(abi: list[dict[str, Any]], data: Any) -> str:
    """Name the custom error that a revert's data carries, or return an empty text."""
    if not isinstance(data, str) or len(data) < 10:
        return ""
    for entry in abi:
        if entry["type"] == "error" and keccak(text=signature(entry))[:4].hex() == data[2:10]:
            return str(entry["name"])
    return ""
