// Receives OTLP by HTTP and gRPC, and appends each request to a file as a line of JSON: [signal, request].
// node receiver.cjs HTTP_PORT GRPC_PORT FILE
const fs = require("fs");
const { MockOtlpServer } = require("@elastic/mockotlpserver");
const normalize = require("@elastic/mockotlpserver/lib/normalize.js");

const [httpPort, grpcPort, file] = process.argv.slice(2);
const note = (signal, text) => fs.appendFileSync(file, `["${signal}",${text}]\n`);

new MockOtlpServer({
  logLevel: "warn",
  services: ["http", "grpc"],
  httpHostname: "127.0.0.1",
  httpPort: Number(httpPort),
  grpcHostname: "127.0.0.1",
  grpcPort: Number(grpcPort),
  onTrace: (request) => note("traces", normalize.jsonStringifyTrace(request, { indent: 0 })),
  onMetrics: (request) => note("metrics", normalize.jsonStringifyMetrics(request, { indent: 0 })),
  onLogs: (request) => note("logs", normalize.jsonStringifyLogs(request, { indent: 0 })),
}).start().then(() => console.log("ready"));
