import { CaptureError, messageOf } from '../errors.ts';
import { createLogger } from '../log.ts';
import { attacherSettingsOf, type AttacherSettings } from './attacher-environment.ts';
import { runAttacher } from './attacher.ts';
import { directReach } from './jvm-reach.ts';
import { meetAttacher } from './meet-attacher.ts';

const refusedExitCode = 3;
const usageExitCode = 2;

const { env } = process;
const log = createLogger('agent');
const procRoot = env['HEAPCATCH_PROC_ROOT'] ?? '/proc';
const socketPath = env['HEAPCATCH_SOCKET'] ?? '/run/heapcatch/agent.sock';

/**
 * What carries a capture out is loaded only then: attacher and uploader first find out, with the little that is loaded
 * here, whether their pod has room for it.
 */
const captureCommands = () => import('./capture-commands.ts');

async function capture(): Promise<number> {
  const ticketUrl = env['HEAPCATCH_TICKET_URL'];
  if (ticketUrl === undefined) throw new Error('HEAPCATCH_TICKET_URL is not set');
  outliveSignals();
  const settings = attacherSettingsOf(env);
  if (settings !== undefined) return upload(ticketUrl, settings);
  const { captureByTicket } = await captureCommands();
  return captureByTicket(ticketUrl, {}, captureSettings());
}

/** Captures through an attacher, or gives the capture to it where there is no room for both. */
async function upload(ticketUrl: string, settings: AttacherSettings): Promise<number> {
  const met = await meetAttacher(settings).catch((error: unknown) =>
    error instanceof CaptureError ? error : Promise.reject(error as Error),
  );
  if (!(met instanceof CaptureError) && met.layout.layout === 'single') {
    await met.channel.writeAndFlush({ ticketUrl });
    log.info('the attacher goes on alone', { ...met.layout });
    return 0;
  }
  const { attacherReach, noReach } = await import('./attacher-reach.ts');
  const way =
    met instanceof CaptureError
      ? { reach: noReach(met) }
      : { reach: attacherReach(met.channel), layout: met.layout };
  const { captureByTicket } = await captureCommands();
  return captureByTicket(ticketUrl, way, captureSettings());
}

async function attach(): Promise<number> {
  outliveSignals();
  const settings = attacherSettingsOf(env);
  if (settings === undefined) throw new Error('HEAPCATCH_ATTACHER_KEY is not set');
  const deadline = Date.parse(settings.deadlineTime);
  const ended = await runAttacher({ ...settings, reach: directReach(procRoot), deadline, log });
  log.info('attacher ends', { end: ended.end });
  if (ended.end !== 'alone') return ended.end === 'served' ? 0 : 1;
  const { captureByTicket } = await captureCommands();
  return captureByTicket(ended.ticketUrl, { layout: ended.layout }, captureSettings());
}

/** When a pod is deleted its agents are told at once as well, with the whole grace period still to come: they use it. */
function outliveSignals(): void {
  process.on('SIGTERM', () => log.info('told to end; goes on as long as it is let'));
}

async function serve(): Promise<number> {
  const healthPort = wholeNumber('HEAPCATCH_HEALTH_PORT', 0, 65_535);
  const maxCaptures = wholeNumber('HEAPCATCH_MAX_CAPTURES', 1, 10) ?? 2;
  const { serveCaptures } = await captureCommands();
  const { sensorSettingsOf } = await import('./sensor-service.ts');
  const sensor = sensorSettingsOf(env);
  return serveCaptures(
    {
      ...{ socketPath, maxCaptures },
      ...(healthPort !== undefined && { healthPort }),
      ...(sensor && { sensor }),
    },
    captureSettings(),
  );
}

async function start(): Promise<number> {
  const { startCapture } = await import('./start.ts');
  const answer = await startCapture(process.stdin, socketPath);
  await new Promise((resolve) => process.stdout.write(`${JSON.stringify(answer)}\n`, resolve));
  return answer.outcome === 'accepted' ? 0 : refusedExitCode;
}

function captureSettings() {
  const mebibytes = wholeNumber('HEAPCATCH_HOLE_STEP_MIB', 0, 4_096) ?? 64;
  const holes = mebibytes === 0 ? {} : { holeStepBytes: mebibytes * 1024 * 1024 };
  return { procRoot, log, ...holes };
}

function wholeNumber(name: string, min: number, max: number): number | undefined {
  const text = env[name];
  if (text === undefined || text === '') return undefined;
  const value = Number(text);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new Error(`${name} is ${JSON.stringify(text)}; accepted are ${min} to ${max}`);
}

const commands: Readonly<Record<string, () => Promise<number>>> = { attach, capture, serve, start };

// No top-level await: the program is bundled as CommonJS (infra/images/build.ts).
void run(process.argv[2] ?? '');

async function run(name: string): Promise<void> {
  const command = commands[name];
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
}
