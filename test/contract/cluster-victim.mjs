// The application of the cluster contract's pods. Answers the kubelet's probes on its own address, and fails them
// from the UNHEALTHY_AFTER-th on. No imports but Node's: it is the whole content of an image as well.
import { createServer } from 'node:http';

const unhealthyAfter = Number(process.env.UNHEALTHY_AFTER ?? Infinity);
let requestCount = 0;

createServer((_request, response) => {
  requestCount += 1;
  response.statusCode = requestCount > unhealthyAfter ? 500 : 200;
  response.end();
}).listen(Number(process.env.PORT ?? 8080), process.env.POD_IP);

// The first process of a container ignores signals without a handler.
process.on('SIGTERM', () => process.exit(0));
