"""Background work of `apikeys`."""

from celery import shared_task

from apikeys import services


@shared_task(name="apikeys.delete_old_usage")
def delete_old_usage() -> int:
    """Delete usage older than the retention."""
    return services.delete_old_usage()
