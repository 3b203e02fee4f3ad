import { describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { commandWords, overviewText } from '../../lib/cli/command-words.ts';
import { completion } from '../../lib/cli/completion/command.ts';

const folder = path.resolve(import.meta.dirname, '../../lib/cli');
const main = readFileSync(path.join(folder, 'main.ts'), 'utf8');
const docs = readFileSync(path.resolve(folder, '../../docs/cli.md'), 'utf8');
const loaded = [...main.matchAll(/^ {2}'?([a-z-]+)'?: async \(\)/gm)].map((match) => match[1]!);

/** The options that the help of each command names, read from its source: to load them all would load every SDK. */
const helpOptions = new Map(
  globSync('*/*.ts', { cwd: folder }).flatMap((file): [string, string[]][] => {
    const text = readFileSync(path.join(folder, file), 'utf8');
    const usage = /export const usage = `(.*?)\n`;/s.exec(text)?.[1];
    if (usage === undefined) return [];
    const place = usage.includes('${placeUsage}') ? '--stack --bucket --profile --region' : '';
    const options = `${usage} ${place}`.match(/(?<![\w-])--[a-z][a-z-]*/g) ?? [];
    return [[path.dirname(file), [...new Set(options)].sort()]];
  }),
);

async function scriptOf(shell: string): Promise<string> {
  let script = '';
  const exitCode = await completion([shell], {
    write: (text) => void (script += text),
    writeError: () => undefined,
  });
  expect(exitCode).toBe(0);
  return script;
}

describe('the commands of the command line', () => {
  it.each(commandWords.map((words) => [words.name, words] as const))(
    '%s: completion offers what its help names, and docs/cli.md has it',
    (name, { options }) => {
      expect(loaded).toContain(name);
      if (name !== 'demo') expect([...options].sort()).toEqual(helpOptions.get(name));
      expect(docs).toContain(`\`${name}`);
    },
  );

  it('are all in the overview, also those without words of their own', () => {
    const overview = overviewText([...loaded, 'younger']);

    for (const name of [...loaded, 'younger']) expect(overview).toContain(`\n  ${name}`);
  });
});

describe('heapcatch completion', () => {
  it('completes commands, options and words in bash', async () => {
    const script = await scriptOf('bash');
    const complete = (...words: string[]): string[] =>
      execFileSync('bash', [
        '-c',
        `${script}\nCOMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _heapcatch; printf '%s\\n' "\${COMPREPLY[@]}"`,
        'bash',
        ...['heapcatch', ...words],
      ])
        .toString()
        .trim()
        .split('\n');

    expect(complete('d')).toEqual(['dump', 'decrypt', 'demo']);
    expect(complete('list', '--s')).toEqual(['--state', '--since', '--stack']);
    expect(complete('policy', 't')).toEqual(['test']);
    expect(complete('nonsense', '')).toEqual(['']);
  });

  it('has every command in zsh and fish', async () => {
    const [zsh, fish] = [await scriptOf('zsh'), await scriptOf('fish')];

    for (const { name, summary } of commandWords) {
      expect(zsh).toContain(`'${name}:${summary}'`);
      expect(fish).toContain(`-a ${name} -d '${summary}'`);
      // Both stand in single quotes.
      expect(summary).not.toMatch(/['\\:]/);
    }
  });
});
