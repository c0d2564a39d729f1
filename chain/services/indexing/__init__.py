"""The indexer: ranges below the finalized block, block by block above it, one transaction for each stretch.

Choosing a range, reading it and writing it are three steps. While one range is written, the next is read.
"""

from chain.services.indexing.halting import resume_after_review
from chain.services.indexing.indexer import Indexer
from chain.services.indexing.listeners import IndexProgress, Listeners, Retraction
from chain.services.indexing.ranges import MAX_CHECKED_RANGE_BLOCKS, RangeSize

__all__ = [
    "MAX_CHECKED_RANGE_BLOCKS",
    "IndexProgress",
    "Indexer",
    "Listeners",
    "RangeSize",
    "Retraction",
    "resume_after_review",
]
