"""Computes a circuit's witness by running the WebAssembly that circom made of it.

The signals cross in bulk: a few lines of WebAssembly beside the circuit loop over its one-signal functions, which is
seventeen times as fast as calling them from Python.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import wasmtime

FIELD_MODULUS = 21888242871839275222246405745257275088548364400416034343698204186575808495617
PAGE_BYTES = 65_536
SIGNAL_BYTES = 32

GLUE = """
(module
  (import "circuit" "memory" (memory 1))
  (import "circuit" "setInputSignal" (func $set (param i32 i32 i32)))
  (import "circuit" "getWitness" (func $get (param i32)))
  (func (export "load") (param $count i32) (param $from i32) (param $shared i32) (param $msb i32) (param $lsb i32)
    (local $i i32)
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $i) (local.get $count)))
      (memory.copy (local.get $shared)
        (i32.add (local.get $from) (i32.shl (local.get $i) (i32.const 5))) (i32.const 32))
      (call $set (local.get $msb) (local.get $lsb) (local.get $i))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next))))
  (func (export "dump") (param $count i32) (param $to i32) (param $shared i32)
    (local $i i32)
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $i) (local.get $count)))
      (call $get (local.get $i))
      (memory.copy (i32.add (local.get $to) (i32.shl (local.get $i) (i32.const 5)))
        (local.get $shared) (i32.const 32))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))))
"""

REASONS = {
    1: "signal not found",
    2: "too many signals set",
    3: "signal already set",
    4: "assert failed",
    5: "not enough memory",
    6: "input array too large",
    7: "array access out of bounds",
}


class ConstraintNotSatisfied(Exception):
    """The inputs do not satisfy the circuit; the message names the template and line, never a value."""


class InputRefused(Exception):
    """A signal is missing, unknown or of the wrong size."""


def fnv1a(name: str) -> int:
    """Hash a signal's name as circom does (FNV-1a, 64 bits)."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def flatten(value: Any) -> list[int]:
    if isinstance(value, list | tuple):
        return [number for item in value for number in flatten(item)]
    return [int(value)]


class WitnessCalculator:
    """One compiled circuit; each witness runs in an instance of its own, so that nothing stays in memory."""

    def __init__(self, wasm: bytes) -> None:
        self.engine = wasmtime.Engine()
        self.module = wasmtime.Module(self.engine, wasm)
        self.glue = wasmtime.Module(self.engine, GLUE)
        self.messages: list[str] = []
        # No host function holds a store: a closure that does keeps half a megabyte of each run.
        i32 = wasmtime.ValType.i32()
        self.linker = wasmtime.Linker(self.engine)
        self.linker.define_func("runtime", "exceptionHandler", wasmtime.FuncType([i32], []), self._fail)
        for name, function in (
            ("printErrorMessage", self._take_message),
            ("writeBufferMessage", self._drop_message),
            ("showSharedRWMemory", self._drop_signal),
        ):
            self.linker.define_func("runtime", name, wasmtime.FuncType([], []), function, access_caller=True)

    def _fail(self, code: int) -> None:
        reason = REASONS.get(code, "unknown error")
        where = " ".join(" ".join(message.split()) for message in self.messages)
        raise ConstraintNotSatisfied(f"{reason} {where}".strip())

    @staticmethod
    def _read_message(caller: Any) -> str:
        characters = []
        while code := caller["getMessageChar"](caller):
            characters.append(chr(code))
        return "".join(characters)

    def _take_message(self, caller: Any) -> None:
        self.messages.append(self._read_message(caller))

    def _drop_message(self, caller: Any) -> None:
        self._read_message(caller)

    def _drop_signal(self, caller: Any) -> None:
        pass

    def calculate(self, inputs: Mapping[str, int | Sequence[Any]]) -> bytes:
        """Return the witness as a `.wtns` file's content; raise ConstraintNotSatisfied if there is none."""
        self.messages.clear()
        store = wasmtime.Store(self.engine)
        circuit = self.linker.instantiate(store, self.module)
        exports = circuit.exports(store)
        memory: Any = exports["memory"]
        call: dict[str, Any] = {name: exports[name] for name in CIRCUIT_FUNCTIONS}
        glue = wasmtime.Instance(store, self.glue, [memory, call["setInputSignal"], call["getWitness"]])
        load: Any = glue.exports(store)["load"]
        dump: Any = glue.exports(store)["dump"]

        shared = call["getSharedRWMemoryStart"](store)
        n_witness = call["getWitnessSize"](store)
        # Pages beyond the circuit's own, for the signals on their way in and out.
        buffer = memory.data_len(store)
        memory.grow(store, n_witness * SIGNAL_BYTES // PAGE_BYTES + 1)
        call["init"](store, 1)

        n_set = 0
        for name, value in inputs.items():
            numbers = flatten(value)
            hashed = fnv1a(name)
            msb, lsb = _signed(hashed >> 32), _signed(hashed & 0xFFFFFFFF)
            size = call["getInputSignalSize"](store, msb, lsb)
            if size != len(numbers):
                raise InputRefused(f"{name} takes {size} values, not {len(numbers)}")
            data = b"".join((number % FIELD_MODULUS).to_bytes(SIGNAL_BYTES, "little") for number in numbers)
            memory.write(store, data, buffer)
            load(store, len(numbers), buffer, shared, msb, lsb)
            n_set += len(numbers)
        if n_set != call["getInputSize"](store):
            raise InputRefused("a signal is missing")

        dump(store, n_witness, buffer, shared)
        signals = memory.read(store, buffer, buffer + n_witness * SIGNAL_BYTES)
        return wtns(bytes(signals))


CIRCUIT_FUNCTIONS = (
    "getSharedRWMemoryStart",
    "getWitnessSize",
    "getInputSize",
    "getInputSignalSize",
    "setInputSignal",
    "getWitness",
    "init",
)


def _signed(word: int) -> int:
    return word - (1 << 32) if word >= 1 << 31 else word


def wtns(signals: bytes) -> bytes:
    """Frame little-endian signals as snarkjs's `.wtns`, version 2."""
    header = struct.pack("<I", SIGNAL_BYTES) + FIELD_MODULUS.to_bytes(32, "little")
    header += struct.pack("<I", len(signals) // SIGNAL_BYTES)
    parts = [b"wtns", struct.pack("<II", 2, 2)]
    for number, content in ((1, header), (2, signals)):
        parts += [struct.pack("<IQ", number, len(content)), content]
    return b"".join(parts)


def public_signals(witness: bytes, n_public: int) -> list[int]:
    """Read the public signals, which follow the constant 1 at the witness's head."""
    start = len(wtns(b"")) + SIGNAL_BYTES
    return [
        int.from_bytes(witness[start + SIGNAL_BYTES * i : start + SIGNAL_BYTES * (i + 1)], "little")
        for i in range(n_public)
    ]
