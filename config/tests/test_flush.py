import pytest

from audit.models import Entry
from audit.services import record


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", [1, 2])
def test_transactional_tests_start_with_an_empty_log(attempt):
    assert not Entry.objects.exists()
    record(action="test.flush", target=f"attempt:{attempt}")
