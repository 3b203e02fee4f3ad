import type { Logger } from '../log.ts';
import type { LayoutChoice } from './attacher-handshake.ts';
import { CaptureMetrics } from './capture-metrics.ts';
import { runCapture, type CaptureEnd } from './capture.ts';
import { startDaemon } from './daemon.ts';
import { fetchTicket } from './fetch-ticket.ts';
import type { JvmReach } from './jvm-reach.ts';
import { startSensor, type SensorSettings } from './sensor-service.ts';
import { tellReleased } from './tell-released.ts';

const exitCodes: Readonly<Record<CaptureEnd, number>> = { whole: 0, unfinished: 1, faulty: 4 };
/** `start` waits for the daemon's answer; an ephemeral container has nobody who would start it again. */
const servedTicketTimeoutSeconds = 8;
const ownTicketTimeoutSeconds = 60;

/** What every capture of this process is given. */
export interface CaptureSettings {
  readonly procRoot: string;
  readonly holeStepBytes?: number;
  readonly log: Logger;
}

/** One capture. @returns the exit code. @throws CaptureError as fetchTicket does. */
export async function captureByTicket(
  ticketUrl: string,
  way: { readonly reach?: JvmReach; readonly layout?: LayoutChoice },
  settings: CaptureSettings,
): Promise<number> {
  const ticket = await fetchTicket(ticketUrl, ownTicketTimeoutSeconds);
  return exitCodes[await runCapture({ ticket, ...way, ...settings })];
}

/** Captures as they are asked for, until the process is told to end. */
export async function serveCaptures(
  options: {
    readonly socketPath: string;
    readonly maxCaptures: number;
    readonly healthPort?: number;
    readonly sensor?: SensorSettings;
  },
  settings: CaptureSettings,
): Promise<number> {
  const signalled = new Promise<string>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  const metrics = new CaptureMetrics();
  const sensor = options.sensor && startSensor({ ...options.sensor, ...settings });
  const daemon = await startDaemon({
    ...options,
    log: settings.log,
    fetchTicket: (ticketUrl) => fetchTicket(ticketUrl, servedTicketTimeoutSeconds),
    run: (ticket) =>
      runCapture({
        ...{ ticket, metrics, ...settings },
        onJvmReleased: () => {
          if (options.sensor) void tellReleased(options.sensor, ticket, settings.log);
        },
      }),
    metricsText: () => metrics.text() + (sensor?.metricsText() ?? ''),
  });
  settings.log.info('agent stops; captures that run may end', { signal: await signalled });
  await Promise.all([daemon.stop(), sensor?.stop()]);
  return 0;
}
