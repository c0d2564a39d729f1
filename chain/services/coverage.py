"""Which blocks of a contract are indexed, as ranges: a gap is a query, not a guess."""

from collections.abc import Iterable

from django.db import connection

from chain.models import Contract, Coverage

Range = tuple[int, int]


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Join ranges (both ends included) that touch or overlap."""
    result: list[Range] = []
    for low, high in sorted(ranges):
        if result and low <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], high))
        else:
            result.append((low, high))
    return result


def without(ranges: Iterable[Range], low: int, high: int) -> list[Range]:
    """Cut `low` to `high` out of ranges."""
    result: list[Range] = []
    for start, end in ranges:
        if start < low:
            result.append((start, min(end, low - 1)))
        if end > high:
            result.append((max(start, high + 1), end))
    return sorted(part for part in result if part[0] <= part[1])


def gaps(ranges: Iterable[Range], low: int, high: int) -> list[Range]:
    """Return what of `low` to `high` the ranges leave out."""
    missing: list[Range] = [(low, high)] if low <= high else []
    for start, end in ranges:
        missing = without(missing, start, end)
    return missing


def covered(contract: Contract) -> list[Range]:
    """Return a contract's covered ranges in order."""
    rows = Coverage.objects.filter(contract=contract).order_by("from_block")
    return list(rows.values_list("from_block", "to_block"))


def missing(contract: Contract, *, up_to: int) -> list[Range]:
    """Return the gaps in a contract's coverage, from its deployment to a block."""
    return gaps(covered(contract), contract.deployment_block, up_to)


def cover(*, contract_ids: Iterable[int], low: int, high: int) -> None:
    """Add a range to contracts' coverage, in the caller's transaction."""
    if low > high:
        return
    with connection.cursor() as cursor:
        for contract_id in contract_ids:
            # The usual case: the range continues the last one.
            cursor.execute(
                "UPDATE chain_coverage SET to_block = %s WHERE contract_id = %s AND to_block = %s AND NOT EXISTS "
                "(SELECT 1 FROM chain_coverage AS later WHERE later.contract_id = %s AND later.from_block > %s)",
                [high, contract_id, low - 1, contract_id, low - 1],
            )
            if cursor.rowcount == 0:
                rewrite(contract_id, merged([*ranges_of(contract_id), (low, high)]))


def uncover(*, contract_ids: Iterable[int], low: int, high: int) -> None:
    """Take a range out of contracts' coverage, in the caller's transaction."""
    for contract_id in contract_ids:
        before = ranges_of(contract_id)
        after = without(before, low, high)
        if after != before:
            rewrite(contract_id, after)


def ranges_of(contract_id: int) -> list[Range]:
    rows = Coverage.objects.filter(contract_id=contract_id).order_by("from_block")
    return list(rows.values_list("from_block", "to_block"))


def rewrite(contract_id: int, ranges: list[Range]) -> None:
    Coverage.objects.filter(contract_id=contract_id).delete()
    Coverage.objects.bulk_create(
        Coverage(contract_id=contract_id, from_block=low, to_block=high) for low, high in ranges
    )
