import { CaptureError, messageOf } from '../errors.ts';
import { runDemo } from '../local/demo/demo.ts';

const write = (text: string): void => {
  process.stdout.write(text);
};

/** Exit codes: 0 all held, 1 something did not, 2 not to be done here, 130 interrupted. */
export async function runDemoCommand(): Promise<number> {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => stop.abort(new Error('interrupted')));
  }
  try {
    const { holds, report } = await runDemo(write, stop.signal);
    write(holds ? '\ncaught, indexed and verified\n' : '\nsomething did not hold, see above\n');
    if (report !== undefined) write(`${report.verdict}\n${report.pagePath}\n`);
    return holds ? 0 : 1;
  } catch (error) {
    if (stop.signal.aborted) return 130;
    process.stderr.write(`heapcatch demo: ${messageOf(error, 4_000)}\n`);
    return error instanceof CaptureError && error.code === 'NotSupported' ? 2 : 1;
  }
}
