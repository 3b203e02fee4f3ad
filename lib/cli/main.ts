import { messageOf } from '../errors.ts';
import { overviewText } from './command-words.ts';
import { terminalText } from './terminal-text.ts';

/** A command takes the words behind its name, and answers an exit code; each loads only when it is called. */
type Command = (words: readonly string[]) => Promise<number>;
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  demo: async () => (await import('./demo.ts')).runDemoCommand,
  'gc-scan': async () => (await import('./gc-scan/command.ts')).runGcScanCommand,
  policy: async () => (await import('./policy/command.ts')).runPolicyCommand,
  decrypt: async () => (await import('./decrypt/command.ts')).runDecryptCommand,
  list: async () => (await import('./list/command.ts')).runListCommand,
  dump: async () => (await import('./dump/command.ts')).runDumpCommand,
  watch: async () => (await import('./watch/command.ts')).runWatchCommand,
  open: async () => (await import('./open/command.ts')).runOpenCommand,
  get: async () => (await import('./get/command.ts')).runGetCommand,
  completion: async () => (await import('./completion/command.ts')).runCompletionCommand,
  show: async () => (await import('./show/command.ts')).runShowCommand,
};
/** Words of the command line that this version does not do yet. */
const planned = ['doctor'];

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
  const why = planned.includes(name) ? 'is not in this version' : 'is not a command';
  process.stderr.write(`heapcatch: ${JSON.stringify(name.slice(0, 100))} ${why}; ${accepted}\n`);
  return 2;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(terminalText(`heapcatch: ${messageOf(error, 4_000)}\n`));
  process.exitCode = 2;
}
