import { maxReportBytes, sensorReportSchema } from '../signal/sensor-report.ts';
import { validate } from '../validation.ts';
import { agentRoute } from './agent-word.ts';
import type { Route } from './api.ts';
import type { Callers } from './callers.ts';
import type { SensorWatch } from './sensor-watch.ts';

export const sensorPath = '/v1/sensor';

/**
 * `POST /v1/sensor`: a report of a node's agent. 200 with what became of it and beyond which levels the agent need not wait; refusals as agentRoute.
 * What is answered with 503 the agent keeps, and comes again.
 */
export function sensorRoute({
  watch,
  callers,
}: {
  readonly watch: Pick<SensorWatch, 'take'>;
  readonly callers: Pick<Callers, 'of'>;
}): Route {
  const code = 'InvalidSensorReport';
  return agentRoute({
    ...{ path: sensorPath, maxBodyBytes: maxReportBytes, callers, code },
    read: (raw) => validate(sensorReportSchema, raw, code, 'sensor report'),
    take: (report) => ({ status: 200, body: watch.take(report) }),
  });
}
