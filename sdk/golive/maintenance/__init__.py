"""The growth of the event store kept in bounds: what `golive db maintain` does to `kpi_event`."""
