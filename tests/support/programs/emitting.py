"""What programs that are killed emit: events of every kind, one after the other."""

from golive.kpi import kpi_fail, kpi_success, kpi_timed_step, kpi_value


def emit_one(domain: str, number: int, correlation_id: str) -> int | None:
    """Record an event of the kind whose turn it is; return its id, where the helper gives one.

    Raises:
        SpoolFull: The event is not there.
    """
    match number % 4:
        case 0:
            return kpi_success(None, domain, "success", correlation_id=correlation_id)
        case 1:
            return kpi_fail(None, domain, "failure", correlation_id=correlation_id)
        case 2:
            return kpi_value(None, domain, "value", number, correlation_id=correlation_id)
        case _:
            with kpi_timed_step(None, domain, "step", correlation_id=correlation_id):
                return None
