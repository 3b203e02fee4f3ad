/** What help and completion say of the commands; docs/cli.md has the same order. A test compares it with the help of each. */
export interface CommandWords {
  readonly name: string;
  readonly summary: string;
  /** With their dashes. */
  readonly options: readonly string[];
  /** Words that may follow the name. */
  readonly words?: readonly string[];
}

const place = ['--stack', '--bucket', '--profile', '--region'];

export const commandWords: readonly CommandWords[] = [
  {
    name: 'dump',
    summary: 'ask for a capture of a pod',
    options: [
      ...['--namespace', '--cluster', '--context', '--container', '--dry-run', '--wait'],
      ...['--timeout', '--json', ...place],
    ],
  },
  {
    name: 'watch',
    summary: 'follow captures as they run and are sealed',
    options: ['--namespace', '--workload', '--cluster', '--every', '--json', ...place],
  },
  {
    name: 'list',
    summary: 'list captures',
    options: [
      ...['--namespace', '--workload', '--pod', '--cluster', '--state', '--since', '--until'],
      ...['--limit', '--after', '--json', ...place],
    ],
  },
  { name: 'show', summary: 'show one capture', options: ['--json', ...place] },
  {
    name: 'get',
    summary: 'bring a capture here, verified',
    options: ['--output', '--artifact', '--compressed', '--json', ...place],
  },
  {
    name: 'open',
    summary: 'open a heap dump in MAT or VisualVM',
    options: ['--with', '--output', ...place],
  },
  {
    name: 'decrypt',
    summary: 'decrypt what an encrypted capture stored',
    options: ['--to'],
  },
  {
    name: 'policy',
    summary: 'say what would become of a signal',
    options: ['--signal', '--pod', '--json'],
    words: ['test'],
  },
  {
    name: 'gc-scan',
    summary: 'say whether GC logs cross a limit',
    options: [
      ...['--within', '--full-gc', '--young-per-minute', '--pause', '--heap-after', '--max-heap'],
      ...['--follow', '--json', '--webhook', '--signal', '--cluster', '--namespace', '--pod'],
      ...['--pod-uid', '--container', '--bus'],
    ],
  },
  { name: 'demo', summary: 'the whole story on one machine', options: [] },
  {
    name: 'completion',
    summary: 'completion for bash, zsh or fish',
    options: [],
    words: ['bash', 'zsh', 'fish'],
  },
];

/** What `heapcatch` without a command says. Commands without words here are named alone. */
export function overviewText(names: readonly string[]): string {
  const known = commandWords.filter(({ name }) => names.includes(name));
  const others = names.filter((name) => !known.some((one) => one.name === name));
  const rows = [
    ...known.map(({ name, summary }) => `  ${name.padEnd(12)}${summary}\n`),
    ...others.map((name) => `  ${name}\n`),
  ];
  return `heapcatch COMMAND [OPTIONS]

Catches the evidence of a dying JVM pod before Kubernetes restarts it.

${rows.join('')}
heapcatch COMMAND --help says what it takes; docs/cli.md has all of them, their exit codes and examples.
`;
}
