import { CaptureError, messageOf } from '../errors.ts';
import { runDemo } from '../local/demo/demo.ts';

/** Words of the command line that this version does not do yet. */
const planned = ['dump', 'list', 'show', 'get', 'gc-scan', 'doctor'];

const write = (text: string): void => {
  process.stdout.write(text);
};

/** Exit codes: 0 all held, 1 something did not, 2 not to be done here or not understood, 130 interrupted. */
async function main(command: string | undefined): Promise<number> {
  if (command === 'demo') return demo();
  const why =
    command !== undefined && planned.includes(command)
      ? `"${command}" is not in this version`
      : `"${command ?? ''}" is not a command`;
  process.stderr.write(`heapcatch: ${why}; accepted is: demo\n`);
  return 2;
}

async function demo(): Promise<number> {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => stop.abort(new Error('interrupted')));
  }
  try {
    const holds = await runDemo(write, stop.signal);
    write(holds ? '\ncaught, indexed and verified\n' : '\nsomething did not hold, see above\n');
    return holds ? 0 : 1;
  } catch (error) {
    if (stop.signal.aborted) return 130;
    process.stderr.write(`heapcatch demo: ${messageOf(error, 4_000)}\n`);
    return error instanceof CaptureError && error.code === 'NotSupported' ? 2 : 1;
  }
}

process.exitCode = await main(process.argv[2]);
