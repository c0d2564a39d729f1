"""Reads heads, headers and logs from nodes and believes none of it unchecked."""

from chain.reading.blooms import bloom_mask
from chain.reading.headers import Head, Header, parse_header
from chain.reading.reader import RangeAnswer, Reader

__all__ = ["Head", "Header", "RangeAnswer", "Reader", "bloom_mask", "parse_header"]
