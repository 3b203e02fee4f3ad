import { messageOf } from '../errors.ts';

/** A command takes the words behind its name, and answers an exit code; each loads only when it is called. */
type Command = (words: readonly string[]) => Promise<number>;
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  demo: async () => (await import('./demo.ts')).runDemoCommand,
  'gc-scan': async () => (await import('./gc-scan/command.ts')).runGcScanCommand,
  policy: async () => (await import('./policy/command.ts')).runPolicyCommand,
  decrypt: async () => (await import('./decrypt/command.ts')).runDecryptCommand,
  report: async () => (await import('./report/command.ts')).runReportCommand,
  diff: async () => (await import('./diff/command.ts')).runDiffCommand,
};
/** Words of the command line that this version does not do yet. */
const planned = ['dump', 'list', 'show', 'get', 'doctor'];

/** Exit codes: 0 all held, 1 something did not, 2 not to be done here or not understood, 130 interrupted. */
async function main([name = '', ...words]: readonly string[]): Promise<number> {
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (load !== undefined) return (await load())(words);
  const accepted = `accepted are: ${Object.keys(commands).join(', ')}`;
  const why = planned.includes(name) ? 'is not in this version' : 'is not a command';
  process.stderr.write(`heapcatch: ${JSON.stringify(name.slice(0, 100))} ${why}; ${accepted}\n`);
  return 2;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`heapcatch: ${messageOf(error, 4_000)}\n`);
  process.exitCode = 2;
}
