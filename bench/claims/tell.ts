import { seededChoices } from './choices.ts';
import { clauses } from './clauses.ts';
import { runSchedule } from './schedule.ts';

/** Tells one schedule, line by line: `node bench/claims/tell.ts SEED [CLAUSE]`. */
const [seed = '', name] = process.argv.slice(2);
const forgotten = clauses.find((clause) => clause.name === name);
if (!/^\d{1,10}$/.test(seed) || (name !== undefined && forgotten === undefined)) {
  const names = clauses.map((clause) => JSON.stringify(clause.name)).join(', ');
  process.stderr.write(`tell: accepted are a seed, and the name of a clause of ${names}\n`);
  process.exitCode = 2;
} else {
  const trace = (line: string): void => void process.stdout.write(`${line}\n`);
  const { violations } = await runSchedule({
    choices: seededChoices(Number(seed)),
    forgotten,
    trace,
  });
  for (const { kind, text } of violations) trace(`${kind}: ${text}`);
}
