import { messageOf } from '../errors.ts';
import { overviewText } from './command-words.ts';
import { terminalText } from './terminal-text.ts';

/** A command takes the words behind its name, and answers an exit code; each loads only when it is called. */
type Command = (words: readonly string[]) => Promise<number>;
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  demo: async () => (await import('./demo.ts')).runDemoCommand,
  'gc-scan': async () => (await import('./gc-scan/command.ts')).runGcScanCommand,
  policy: async () => (await import('./policy/command.ts')).runPolicyCommand,
  cluster: async () => (await import('./cluster/command.ts')).runClusterCommand,
  redrive: async () => (await import('./redrive/command.ts')).runRedriveCommand,
  doctor: async () => (await import('./doctor/command.ts')).runDoctorCommand,
  decrypt: async () => (await import('./decrypt/command.ts')).runDecryptCommand,
  report: async () => (await import('./report/command.ts')).runReportCommand,
  list: async () => (await import('./list/command.ts')).runListCommand,
  dump: async () => (await import('./dump/command.ts')).runDumpCommand,
  watch: async () => (await import('./watch/command.ts')).runWatchCommand,
  open: async () => (await import('./open/command.ts')).runOpenCommand,
  get: async () => (await import('./get/command.ts')).runGetCommand,
  completion: async () => (await import('./completion/command.ts')).runCompletionCommand,
  show: async () => (await import('./show/command.ts')).runShowCommand,
  diff: async () => (await import('./diff/command.ts')).runDiffCommand,
};

/** Exit codes: docs/cli.md. */
async function main([name = '', ...words]: readonly string[]): Promise<number> {
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (load !== undefined) return (await load())(words);
  if (['', 'help', '--help', '-h'].includes(name)) {
    const overview = overviewText(Object.keys(commands));
    if (name !== '') process.stdout.write(overview);
    else process.stderr.write(overview);
    return name === '' ? 2 : 0;
  }
  const accepted = `accepted are: ${Object.keys(commands).join(', ')}`;
  const word = JSON.stringify(name.slice(0, 100));
  process.stderr.write(`heapcatch: ${word} is not a command; ${accepted}\n`);
  return 2;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(terminalText(`heapcatch: ${messageOf(error, 4_000)}\n`));
  process.exitCode = 2;
}
