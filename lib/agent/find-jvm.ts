import { basename, join } from 'node:path';
import type { Rung } from '../policy/policy.ts';
import { CaptureError } from '../errors.ts';
import { systemCode } from './container-path.ts';
import {
  listPids,
  readBounded,
  readFileBounded,
  readProcess,
  type ProcessFacts,
} from './process-facts.ts';

export interface JvmTarget {
  readonly rung: Rung;
  readonly podUid: string;
  /** As Kubernetes prints it, `containerd://…`. */
  readonly containerID: string;
}

interface Candidate extends ProcessFacts {
  readonly cgroup: string;
}

const maxMapsBytes = 16 * 1024 * 1024;
const maxShown = 5;

/**
 * The one JVM of the target container: the process that maps libjvm.so, since performance data may be
 * switched off and the command may be named anything. A node agent sees all pods, and looks for pod uid and
 * container id in the cgroup; an ephemeral container sees the processes of its pod or target only.
 * Of several the one is taken that is an ancestor of all others (a wrapper, or a fork that is about to exec).
 * @throws CaptureError JvmNotFound, JvmAmbiguous (names pids and main classes, never arguments),
 *   AttachFailed (a foreign user's process, which this one may not look into), NotSupported (OpenJ9).
 */
export async function findJvm(procRoot: string, target: JvmTarget): Promise<ProcessFacts> {
  const candidates = await listCandidates(procRoot, target);
  const jvms: Candidate[] = [];
  const closed: Candidate[] = [];
  for (const candidate of candidates) {
    const kind = await jvmKind(procRoot, candidate.pid);
    if (kind === 'openj9') {
      throw new CaptureError(
        'NotSupported',
        `process ${candidate.pid} is an OpenJ9 JVM, which has other dump commands; accepted are HotSpot JVMs`,
        { details: { pids: [candidate.pid] } },
      );
    }
    if (kind === 'hotspot') jvms.push(candidate);
    if (kind === 'closed') closed.push(candidate);
  }
  const [only, ...others] = jvms;
  if (only === undefined) throw notFound(target, candidates, closed);
  if (others.length === 0) return only;
  const root = await commonAncestor(procRoot, jvms);
  if (root) return root;
  const shown = await Promise.all(
    jvms.slice(0, maxShown).map(async ({ pid }) => `${pid} ${await mainClass(procRoot, pid)}`),
  );
  throw new CaptureError(
    'JvmAmbiguous',
    `container ${target.containerID} has ${jvms.length} JVMs, none of them the ancestor of the others: ${shown.join(', ')}`,
    { details: { pids: jvms.slice(0, maxShown).map(({ pid }) => pid) } },
  );
}

function notFound(
  target: JvmTarget,
  candidates: readonly Candidate[],
  [closed]: readonly Candidate[],
): CaptureError {
  const where = `in container ${target.containerID} of pod uid ${target.podUid}`;
  if (closed === undefined) {
    return new CaptureError(
      'JvmNotFound',
      `no process maps libjvm.so ${where}; looked at ${candidates.length} processes`,
      { details: { pids: candidates.slice(0, maxShown).map(({ pid }) => pid) } },
    );
  }
  return new CaptureError(
    'AttachFailed',
    `process ${closed.pid} (uid ${closed.uid}) ${where} cannot be looked into by uid ${process.geteuid?.() ?? -1}; accepted is the same uid, or root with SYS_PTRACE`,
    { details: { pids: [closed.pid] } },
  );
}

/** The processes that a refusal of findJvm is about, 5 at most: what can be read of them is evidence all the same. */
export function pidsInSight(error: unknown): readonly number[] {
  const pids = error instanceof CaptureError ? error.details['pids'] : undefined;
  return Array.isArray(pids) ? pids.filter((pid) => typeof pid === 'number') : [];
}

async function listCandidates(procRoot: string, target: JvmTarget): Promise<Candidate[]> {
  const containerId = target.containerID.replace(/^[^:]*:\/\//, '');
  const podUids = [target.podUid, target.podUid.replaceAll('-', '_')];
  const found: Candidate[] = [];
  for (const pid of await listPids(procRoot)) {
    if (pid === process.pid) continue;
    const cgroup = (await readBounded(join(procRoot, String(pid), 'cgroup'), 64 * 1024)) ?? '';
    const text = cgroup.toString();
    if (target.rung === 'nodeAgent') {
      if (!podUids.some((uid) => text.includes(uid)) || !text.includes(containerId)) continue;
    }
    const facts = await readProcess(procRoot, pid);
    if (facts) found.push({ ...facts, cgroup: text });
  }
  // In a pod that shares its process namespace, the other containers are in view as well.
  const inContainer = found.filter(
    ({ cgroup }) => containerId !== '' && cgroup.includes(containerId),
  );
  return inContainer.length > 0 ? inContainer : found;
}

type ProcessKind = 'hotspot' | 'openj9' | 'other' | 'closed';

/** What kind of JVM a process is, by the libraries that it maps; `closed`: its maps cannot be read. */
export async function jvmKind(procRoot: string, pid: number): Promise<ProcessKind> {
  let maps: Buffer;
  try {
    maps = await readFileBounded(join(procRoot, String(pid), 'maps'), maxMapsBytes);
  } catch (error) {
    const gone = systemCode(error) === 'ENOENT' || systemCode(error) === 'ESRCH';
    return gone ? 'other' : 'closed';
  }
  const text = maps.toString('latin1');
  // OpenJ9 ships a libjvm.so too, which only loads its own library.
  if (/\/libj9vm\d*\.so(?: \(deleted\))?$/m.test(text)) return 'openj9';
  return /\/libjvm\.so(?: \(deleted\))?$/m.test(text) ? 'hotspot' : 'other';
}

async function commonAncestor(
  procRoot: string,
  jvms: readonly Candidate[],
): Promise<Candidate | undefined> {
  const ancestors = new Map<number, Set<number>>();
  for (const { pid, parentPid } of jvms) {
    const above = new Set<number>();
    for (let at = parentPid; at > 0 && above.size < 100 && !above.has(at);) {
      above.add(at);
      at = (await readProcess(procRoot, at))?.parentPid ?? 0;
    }
    ancestors.set(pid, above);
  }
  return jvms.find((one) =>
    jvms.every((other) => other === one || ancestors.get(other.pid)?.has(one.pid)),
  );
}

/** Options of the java launcher whose value is the next argument. */
const optionsWithValue = new Set([
  ...['-cp', '-classpath', '--class-path', '-p', '--module-path', '--upgrade-module-path'],
  ...['--add-modules', '--add-reads', '--add-exports', '--add-opens', '--limit-modules'],
  ...['--patch-module', '--source', '--enable-native-access', '-d', '--describe-module'],
]);

/** Main class, module or jar of a java command line. Nothing else of it: arguments hold secrets. */
export async function mainClass(procRoot: string, pid: number): Promise<string> {
  const cmdline = await readBounded(join(procRoot, String(pid), 'cmdline'), 1024 * 1024);
  const args = cmdline?.toString().split('\0').slice(1) ?? [];
  for (let at = 0; at < args.length; at += 1) {
    const arg = args[at] ?? '';
    if (arg === '-jar' || arg === '-m' || arg === '--module') {
      return basename(args[at + 1] ?? '').slice(0, 100);
    }
    if (optionsWithValue.has(arg)) at += 1;
    else if (arg !== '' && !arg.startsWith('-') && !arg.startsWith('@')) return arg.slice(0, 100);
  }
  return 'unknown';
}
