import { lstat, unlink } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { CaptureError, messageOf } from '../errors.ts';
import {
  hexFieldOf,
  isProof,
  layoutChoiceOf,
  newChallenge,
  proofOf,
  socketNameOf,
  type LayoutChoice,
} from './attacher-handshake.ts';
import { inside, openDirectoryInside, systemCode } from './container-path.ts';
import { LineChannel } from './line-channel.ts';
import { ownUsedBytes } from './work-beside.ts';

export interface MeetingOptions {
  /** Shared with the attacher, 64 hexadecimal digits. */
  readonly key: string;
  /** Where the attacher may offer its socket. */
  readonly directories: readonly string[];
  /** How long the attacher may take to be there; 60 unless told. */
  readonly timeoutSeconds?: number;
}

const pollMilliseconds = 50;
const handshakeMilliseconds = 5_000;
/** For what the attacher looks at before it knows how much room there is. */
const layoutMilliseconds = 30_000;

/**
 * Finds the attacher and is told whether there is room for both.
 * @throws CaptureError AttachFailed: no attacher in time, or it said nothing more. What lies there under its name is
 *   removed then.
 */
export async function meetAttacher(
  options: MeetingOptions,
): Promise<{ channel: LineChannel; layout: LayoutChoice }> {
  const channel = await connectToAttacher(options);
  try {
    return { channel, layout: layoutChoiceOf(await channel.readLine(layoutMilliseconds)) };
  } catch (error) {
    channel.close();
    throw error;
  }
}

async function connectToAttacher(options: MeetingOptions): Promise<LineChannel> {
  const { directories, timeoutSeconds = 60 } = options;
  const deadline = performance.now() + timeoutSeconds * 1_000;
  let refusal = 'no socket is there';
  while (performance.now() < deadline) {
    for (const path of directories) {
      const tried = await tryDirectory(path, options.key);
      if (tried instanceof LineChannel) return tried;
      refusal = tried ?? refusal;
    }
    await wait(pollMilliseconds);
  }
  for (const path of directories) await removeSocket(path, options.key);
  throw new CaptureError(
    'AttachFailed',
    `no attacher within ${timeoutSeconds} s in ${directories.join(', ')} (${refusal}): it was not started, or was killed with the JVM`,
  );
}

/** A channel to who holds the key; why what lies there is not one; `undefined` when nothing does. */
async function tryDirectory(path: string, key: string): Promise<LineChannel | string | undefined> {
  const name = socketNameOf(key);
  try {
    const directory = await openDirectoryInside('/', path);
    try {
      const stats = await lstat(inside(directory, name));
      if (!stats.isSocket()) return 'its name is taken by something that is not a socket';
      const uid = process.geteuid?.();
      if (stats.uid !== uid) return `its socket belongs to uid ${stats.uid}; accepted is ${uid}`;
      return await openChannel(inside(directory, name), key);
    } finally {
      await directory.close();
    }
  } catch (error) {
    return systemCode(error) === 'ENOENT' ? undefined : messageOf(error);
  }
}

async function openChannel(socketPath: string, key: string): Promise<LineChannel> {
  const channel = new LineChannel(await connected(socketPath));
  try {
    const challenge = hexFieldOf(await channel.readLine(handshakeMilliseconds), 'challenge');
    const own = newChallenge();
    const usedBytes = await ownUsedBytes();
    channel.write({ proof: proofOf(key, 'uploader', challenge), challenge: own, usedBytes });
    const proof = hexFieldOf(await channel.readLine(handshakeMilliseconds), 'proof');
    if (isProof(key, 'attacher', own, proof)) return channel;
    throw new CaptureError('AttachFailed', 'who answers there does not hold the key');
  } catch (error) {
    channel.close();
    throw error;
  }
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.removeListener('error', reject);
      resolve(socket);
    });
  });
}

async function removeSocket(path: string, key: string): Promise<void> {
  const directory = await openDirectoryInside('/', path).catch(() => undefined);
  if (directory === undefined) return;
  await unlink(inside(directory, socketNameOf(key))).catch(() => undefined);
  await directory.close();
}
