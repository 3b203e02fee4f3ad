/**
 * The evidence that needs no attach: what the kernel and the JVM's performance counters show of a process. All of it
 * is read, nothing is asked of the JVM, so that a JVM that is stopped or forbids attaching has it as well.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { countersText } from '../jvm/counters-text.ts';
import type { PerfData } from '../jvm/hsperfdata.ts';
import { readContainerMemory } from './container-memory.ts';
import { readPerfData } from './jvm-facts.ts';
import { readBounded, readProcess } from './process-facts.ts';

const maxTaskCount = 4_000;
const maxShownTaskCount = 1_000;
const tasksAtOnce = 50;
const maxFileBytes = 16 * 1024;
const maxTextLength = 400_000;

/** Of the process in view. Its arguments and environment are left out: secrets stand in them. */
const files = ['status', 'limits', 'cgroup', 'schedstat', 'oom_score', 'smaps_rollup'] as const;

/**
 * Describes processes as plain text, at most 400,000 characters: state, limits and memory, the container's memory, every
 * thread with its state and CPU time, and the performance counters. What cannot be read is left out.
 */
export async function describeProcesses(
  procRoot: string,
  pids: readonly number[],
): Promise<string> {
  const parts: string[] = [];
  for (const pid of pids) parts.push(await describeProcess(procRoot, pid));
  const text = parts.join('\n');
  return text.length <= maxTextLength ? text : `${text.slice(0, maxTextLength)}\n[cut]\n`;
}

async function describeProcess(procRoot: string, pid: number): Promise<string> {
  const folder = join(procRoot, String(pid));
  const jvm = await readProcess(procRoot, pid);
  const sections = [`# process ${pid}\n`];
  for (const name of files) sections.push(section(name, await textOf(join(folder, name))));
  const memory = jvm && (await readContainerMemory(procRoot, jvm));
  if (memory) {
    const limit = memory.limitBytes ?? 'none';
    sections.push(section('container', `usedBytes ${memory.usedBytes}\nlimitBytes ${limit}\n`));
  }
  sections.push(section('threads', await describeTasks(folder)));
  const counters: PerfData | undefined = jvm && (await readPerfData(folder, jvm));
  sections.push(section('counters', counters && countersText(counters)));
  return sections.join('');
}

function section(name: string, text: string | undefined): string {
  return text === undefined || text === '' ? '' : `\n## ${name}\n${text}`;
}

async function textOf(path: string): Promise<string | undefined> {
  return (await readBounded(path, maxFileBytes))?.toString('latin1');
}

/** Threads by the names that the kernel knows, 15 characters: HotSpot's own ("GC Thread#0") and Java's. */
async function describeTasks(folder: string): Promise<string> {
  const all = await readdir(join(folder, 'task')).catch((): string[] => []);
  const tids = all.filter((name) => /^\d{1,10}$/.test(name)).slice(0, maxTaskCount);
  const byState = new Map<string, number>();
  const lines: string[] = [];
  for (let at = 0; at < tids.length; at += tasksAtOnce) {
    const some = tids.slice(at, at + tasksAtOnce);
    const stats = await Promise.all(some.map((tid) => textOf(join(folder, 'task', tid, 'stat'))));
    for (const stat of stats) {
      const task = stat === undefined ? undefined : taskOf(stat);
      if (task === undefined) continue;
      byState.set(task.state, (byState.get(task.state) ?? 0) + 1);
      if (lines.length < maxShownTaskCount) lines.push(task.line);
    }
  }
  const states = [...byState].map(([state, count]) => `${state} ${count}`).sort();
  if (lines.length === 0) return '';
  const head = [`count ${all.length}`, ...states, 'tid state userTicks systemTicks name'];
  return `${[...head, ...lines].join('\n')}\n`;
}

/** Fields 1 to 3, 14 and 15 of stat. The name in field 2 may hold blanks and parentheses. Source: proc(5). */
function taskOf(stat: string): { state: string; line: string } | undefined {
  const nameEnd = stat.lastIndexOf(')');
  const [tid = '', name = ''] = stat.slice(0, nameEnd).split(/ \((.*)/s);
  const fields = stat
    .slice(nameEnd + 1)
    .trim()
    .split(' ');
  const [state, userTicks, systemTicks] = [fields[0], fields[11], fields[12]];
  if (nameEnd === -1 || state === undefined || systemTicks === undefined) return undefined;
  const shownName = name.replace(/[^\u0020-\u007e]/g, '?');
  return { state, line: `${tid} ${state} ${userTicks} ${systemTicks} ${shownName}` };
}
