// Sends KPI events as the OpenTelemetry SDK does; prints the spans they happened in, and how the exports ended.
// node sender.cjs URL TOKEN json|protobuf none|gzip COUNT
const { context, trace } = require("@opentelemetry/api");
const { setUp } = require("./telemetry.cjs");

const [url, token, encoding, compression, count] = process.argv.slice(2);
const codes = [];
const { provider, logger, tracer } = setUp({ url, token, encoding, compression, onResult: (r) => codes.push(r.code) });

const spans = {};
for (let number = 0; number < Number(count); number++) {
  const span = tracer.startSpan("sell");
  context.with(trace.setSpan(context.active(), span), () => {
    logger.emit({
      eventName: "kpi.event",
      attributes: {
        "golive.domain": "NODE",
        "golive.metric": `sold_${number}`,
        "golive.outcome": number % 3 ? "success" : "failure",
        "golive.value": number % 2 ? number : number + 0.5,
        "golive.actor": "node",
        "golive.correlation_id": "deal_js",
        "golive.detail": { reason: "größer", apiKey: "s3cret", lines: [1, 2.5, null, true] },
      },
    });
    logger.emit({ body: "an ordinary log line" });
  });
  const { traceId, spanId } = span.spanContext();
  spans[`sold_${number}`] = [traceId, spanId];
  span.end();
}
provider.forceFlush().then(() => console.log(JSON.stringify({ spans, codes })));
