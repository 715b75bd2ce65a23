// OpenTelemetry for JavaScript as an application sets it up, sending log records to golive.
const { context, propagation, trace } = require("@opentelemetry/api");
const { AsyncLocalStorageContextManager } = require("@opentelemetry/context-async-hooks");
const { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } = require("@opentelemetry/core");
const { OTLPLogExporter: AsJson } = require("@opentelemetry/exporter-logs-otlp-http");
const { OTLPLogExporter: AsProtobuf } = require("@opentelemetry/exporter-logs-otlp-proto");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { BatchLogRecordProcessor, LoggerProvider } = require("@opentelemetry/sdk-logs");
const { BasicTracerProvider } = require("@opentelemetry/sdk-trace-base");

exports.setUp = function ({ url, token, encoding, compression, onResult }) {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(
    new CompositePropagator({ propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()] }),
  );
  trace.setGlobalTracerProvider(new BasicTracerProvider());
  const Exporter = encoding === "json" ? AsJson : AsProtobuf;
  const exporter = new Exporter({ url, compression, headers: { Authorization: `Bearer ${token}` } });
  if (onResult) {
    const original = exporter.export.bind(exporter);
    exporter.export = (records, done) => original(records, (result) => (onResult(result), done(result)));
  }
  const resource = resourceFromAttributes({ "service.name": "node", "service.instance.id": `node-${process.pid}` });
  const provider = new LoggerProvider({
    resource,
    processors: [new BatchLogRecordProcessor({ exporter, scheduledDelayMillis: 100 })],
  });
  return { provider, logger: provider.getLogger("node"), tracer: trace.getTracer("node") };
};
