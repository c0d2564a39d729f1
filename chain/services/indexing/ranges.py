"""How many blocks to ask for at once, learnt from the answers."""

from dataclasses import dataclass

from chain.exceptions import RangeCapped, TooMuchData

# A range should bring about so many logs: enough to spread the cost of a transaction, few enough to hold in memory.
TARGET_LOGS = 20_000
MAX_RANGE_BLOCKS = 100_000
# Headers are read one by one below finality when all are checked: ranges then stay small enough to report progress.
MAX_CHECKED_RANGE_BLOCKS = 5_000
# Blocks above finality that are written in one transaction when catching up.
FOLLOW_BLOCKS = 100


@dataclass
class RangeSize:
    """The number of blocks to ask for next."""

    blocks: int
    cap: int = MAX_RANGE_BLOCKS

    def shrink(self, error: TooMuchData, asked: int) -> None:
        """Halve after too much data; remember a cap that the endpoint has for good."""
        if isinstance(error, RangeCapped):
            self.cap = max(1, min(self.cap, error.cap or asked // 2))
        self.blocks = max(1, min(asked // 2, self.cap))

    def learn(self, asked: int, logs: int) -> None:
        """Aim at TARGET_LOGS, at most doubling: the next blocks may be fuller."""
        wanted = asked * 2 if logs == 0 else min(asked * 2, max(1, asked * TARGET_LOGS // logs))
        self.blocks = max(1, min(wanted, self.cap))
