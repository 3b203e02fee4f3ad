import { spawn } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { findCapture } from '../captures/index-reader.ts';
import { exitCodes, misunderstood, runShaped } from '../command-line.ts';
import { bringCapture } from '../get/command.ts';
import { unpackDump } from '../get/unpack-dump.ts';
import { placeOptions, placeUsage, type PlaceOrder } from '../place.ts';
import { processIo, type CliIo } from '../process-io.ts';
import { findViewer, viewerNames, type Viewer, type ViewerName } from './viewers.ts';

export const usage = `heapcatch open CAPTURE|FILE [OPTIONS]

Opens a heap dump in Eclipse Memory Analyzer (MAT) or VisualVM, whichever is installed: of a capture, which it brings here first
as "get" does, or a file (.hprof, .hprof.zst). Where neither is found it says how to open it.

  --with NAME          mat or visualvm
  -o, --output FOLDER  where a capture is brought to; heapcatch-<captureId> unless told
${placeUsage}

MAT is looked for in MAT_HOME, as MemoryAnalyzer on the PATH, and in /Applications and /opt; VisualVM in VISUALVM_HOME, as visualvm
on the PATH, and there.

Exit codes: 0 it was started; 1 the capture is not as its index entry says; 2 none is installed, no such capture or file, not
understood; 130 interrupted.
`;

const options = {
  ...placeOptions,
  with: { type: 'string' },
  output: { type: 'string', short: 'o' },
} as const;
const shape = { name: 'open', usage, options, operand: 'CAPTURE or FILE' };

/** What the command touches of the outside beside captures. */
export interface OpenIo extends CliIo {
  findViewer(wanted: readonly ViewerName[] | undefined): Viewer | undefined;
  /** Resolves when the program runs; it outlives this one. */
  start(program: string, args: readonly string[]): Promise<void>;
}

/** `heapcatch open`, on the process's own streams and the account of its environment. */
export function runOpenCommand(words: readonly string[]): Promise<number> {
  return open(words, {
    ...processIo(),
    findViewer: (wanted) => findViewer(process.env, wanted),
    start,
  });
}

export function open(words: readonly string[], outside: OpenIo): Promise<number> {
  return runShaped(shape, words, outside, async (io, values, name) => {
    const wanted = values.with === undefined ? undefined : [viewerOf(values.with)];
    const isFile = (await stat(name).catch(() => undefined))?.isFile() === true;
    const dump = isFile ? await unpacked(io, name) : await brought(io, name, values);
    if (dump.path === undefined) return dump.exitCode;
    const viewer = io.findViewer(wanted);
    if (viewer === undefined) {
      io.write(`${dump.path}\n`);
      io.writeError(
        `heapcatch open: ${wanted === undefined ? 'neither MAT nor VisualVM is' : `${wanted.join()} is not`} found; install Eclipse Memory Analyzer (https://eclipse.dev/mat) and choose File, Open Heap Dump, or VisualVM (https://visualvm.github.io) and File, Load\n`,
      );
      return exitCodes.refused;
    }
    await io.start(viewer.program, viewer.args(resolve(dump.path)));
    io.write(`${viewer.program} opens ${dump.path}\n`);
    return dump.exitCode;
  });
}

function viewerOf(name: string): ViewerName {
  const viewer = viewerNames.find((known) => known === name);
  if (viewer !== undefined) return viewer;
  throw misunderstood(
    `--with is ${JSON.stringify(name.slice(0, 100))}, accepted is ${viewerNames.join(' or ')}`,
  );
}

interface Dump {
  readonly path?: string;
  readonly exitCode: number;
}

async function unpacked(io: OpenIo, file: string): Promise<Dump> {
  const [, dumpPath] = /^(.+)\.zst$/.exec(file) ?? [];
  if (dumpPath === undefined) return { path: file, exitCode: exitCodes.done };
  const there = (await stat(dumpPath).catch(() => undefined)) !== undefined;
  if (there) return { path: dumpPath, exitCode: exitCodes.done };
  const { size: storedBytes } = await stat(file);
  const { ended, fault } = await unpackDump({
    storedPath: file,
    storedBytes,
    dumpPath,
    stop: io.stop,
  });
  if (!ended) io.writeError(`${dumpPath}: its record chain is BROKEN: ${fault ?? ''}\n`);
  return { path: dumpPath, exitCode: ended ? exitCodes.done : exitCodes.amiss };
}

async function brought(
  io: OpenIo,
  name: string,
  values: PlaceOrder & { readonly output?: string },
): Promise<Dump> {
  const place = await io.openPlace(values);
  const { objectKey: indexKey, entry } = await findCapture(place, name);
  const folder = values.output ?? `heapcatch-${entry.captureId}`;
  const { files, holds } = await bringCapture(place, { indexKey, entry, folder }, io);
  const path = files.find(({ artifact }) => artifact === 'heapDump')?.path;
  if (path === undefined) {
    io.writeError(`capture ${entry.captureId} (${entry.state}) has no heap dump; see ${folder}\n`);
    return { exitCode: exitCodes.amiss };
  }
  return { path, exitCode: holds ? exitCodes.done : exitCodes.amiss };
}

async function start(program: string, args: readonly string[]): Promise<void> {
  const child = spawn(program, args, { detached: true, stdio: 'ignore' });
  await new Promise<void>((started, failed) => {
    child.once('spawn', started);
    child.once('error', failed);
  });
  child.unref();
}
