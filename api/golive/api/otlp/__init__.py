"""OpenTelemetry's protocol, as far as log records over HTTP go: what is sent becomes KPI events.

`bodies` makes bytes of a request, `protobuf_body` and `json_body` make records of them, `events` makes KPI
events of those, and `answers` says what became of it.
"""
