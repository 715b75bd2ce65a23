// A service between two others: takes a request with its trace and baggage, asks BACK_URL, and records a KPI event.
const http = require("http");
const { context, propagation, trace, SpanKind } = require("@opentelemetry/api");
const { setUp } = require("./telemetry.cjs");

const { LOGS_URL, TOKEN, BACK_URL } = process.env;
const { logger, tracer } = setUp({ url: LOGS_URL, token: TOKEN, encoding: "protobuf", compression: "gzip" });

const server = http.createServer((request, response) => {
  const incoming = propagation.extract(context.active(), request.headers);
  const span = tracer.startSpan("route", { kind: SpanKind.SERVER }, incoming);
  context.with(trace.setSpan(incoming, span), async () => {
    const headers = {};
    propagation.inject(context.active(), headers);
    const answer = await fetch(`${BACK_URL}${request.url}`, { method: "POST", headers });
    logger.emit({
      eventName: "kpi.event",
      attributes: {
        "golive.domain": "MIDDLE",
        "golive.metric": "routed",
        "golive.outcome": answer.ok ? "success" : "failure",
        "golive.correlation_id": propagation.getActiveBaggage()?.getEntry("golive.correlation_id")?.value,
      },
    });
    span.end();
    response.writeHead(answer.status, { "Content-Type": "application/json" }).end(await answer.text());
  });
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
