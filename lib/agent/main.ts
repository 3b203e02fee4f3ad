import { messageOf } from '../errors.ts';
import { createLogger } from '../log.ts';
import { CaptureMetrics } from './capture-metrics.ts';
import { runCapture, type CaptureEnd } from './capture.ts';
import { startDaemon } from './daemon.ts';
import { fetchTicket } from './fetch-ticket.ts';
import { startCapture } from './start.ts';

const exitCodes: Readonly<Record<CaptureEnd, number>> = { whole: 0, unfinished: 1, faulty: 4 };
const refusedExitCode = 3;
const usageExitCode = 2;
/** `start` waits for the daemon's answer; an ephemeral container has nobody who would start it again. */
const servedTicketTimeoutSeconds = 8;
const ownTicketTimeoutSeconds = 60;

const { env } = process;
const log = createLogger('agent');
const procRoot = env['HEAPCATCH_PROC_ROOT'] ?? '/proc';
const socketPath = env['HEAPCATCH_SOCKET'] ?? '/run/heapcatch/agent.sock';

async function capture(): Promise<number> {
  const ticketUrl = env['HEAPCATCH_TICKET_URL'];
  if (ticketUrl === undefined) throw new Error('HEAPCATCH_TICKET_URL is not set');
  const ticket = await fetchTicket(ticketUrl, ownTicketTimeoutSeconds);
  return exitCodes[await runCapture({ ticket, procRoot, log, ...holeOption() })];
}

async function serve(): Promise<number> {
  const signalled = new Promise<string>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  const healthPort = wholeNumber('HEAPCATCH_HEALTH_PORT', 0, 65_535);
  const metrics = new CaptureMetrics();
  const holes = holeOption();
  const daemon = await startDaemon({
    socketPath,
    maxCaptures: wholeNumber('HEAPCATCH_MAX_CAPTURES', 1, 10) ?? 2,
    ...(healthPort !== undefined && { healthPort }),
    log,
    fetchTicket: (ticketUrl) => fetchTicket(ticketUrl, servedTicketTimeoutSeconds),
    run: (ticket) => runCapture({ ticket, procRoot, log, metrics, ...holes }),
    metricsText: () => metrics.text(),
  });
  log.info('agent stops; captures that run may end', { signal: await signalled });
  await daemon.stop();
  return 0;
}

async function start(): Promise<number> {
  const answer = await startCapture(process.stdin, socketPath);
  await new Promise((resolve) => process.stdout.write(`${JSON.stringify(answer)}\n`, resolve));
  return answer.outcome === 'accepted' ? 0 : refusedExitCode;
}

function holeOption(): { holeStepBytes?: number } {
  const mebibytes = wholeNumber('HEAPCATCH_HOLE_STEP_MIB', 0, 4_096) ?? 64;
  return mebibytes === 0 ? {} : { holeStepBytes: mebibytes * 1024 * 1024 };
}

function wholeNumber(name: string, min: number, max: number): number | undefined {
  const text = env[name];
  if (text === undefined || text === '') return undefined;
  const value = Number(text);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new Error(`${name} is ${JSON.stringify(text)}; accepted are ${min} to ${max}`);
}

const commands: Readonly<Record<string, () => Promise<number>>> = { capture, serve, start };
const command = commands[process.argv[2] ?? ''];
if (command === undefined) {
  log.error('unknown command', { accepted: Object.keys(commands) });
  process.exit(usageExitCode);
}
try {
  process.exit(await command());
} catch (error) {
  log.error('the agent failed', { error, reason: messageOf(error) });
  process.exit(1);
}
