"""How long a Celery queue is."""

from celery import Celery
from celery.exceptions import OperationalError

from askback.contracts.errors import UpstreamUnavailable


def waiting(app: Celery, queue: str, timeout_s: float, missing: str) -> int:
    """Messages of `queue` that wait for a worker; raises UpstreamUnavailable with the text `missing` when the broker does not answer."""
    try:
        with app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=timeout_s)
            # kombu's passive declaration looks for the key without its prefix, and this one writes nothing
            return int(connection.default_channel.queue_declare(queue=queue).message_count)
    except (OperationalError, OSError) as error:
        raise UpstreamUnavailable(missing) from error
