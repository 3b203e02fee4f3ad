import { access, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { AttachReplyDecoder, encodeAttachRequest } from '../../lib/jvm/attach-protocol.ts';

const deadlineMillis = 20_000;

/** The least that speaks the attach protocol to a JVM of the same user on the same machine. */
export async function attach(pid: number, command: string, args: string[]): Promise<string> {
  const socketPath = `/tmp/.java_pid${pid}`;
  await openSocket(pid, socketPath);
  const decoder = new AttachReplyDecoder({ maxBytes: 16 * 1024 * 1024 });
  const { status, output, truncated } = await new Promise<ReturnType<typeof decoder.finish>>(
    (resolve, reject) => {
      const socket = connect(socketPath, () => socket.write(encodeAttachRequest(command, args)));
      socket.setTimeout(deadlineMillis, () => socket.destroy(new Error(`no answer to ${command}`)));
      socket.on('data', (chunk) => decoder.push(chunk));
      socket.on('error', reject);
      socket.on('end', () => {
        try {
          resolve(decoder.finish());
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      });
    },
  );
  const text = new TextDecoder().decode(output);
  if (status !== 0 || truncated) throw new Error(`${command}: status ${status}, ${text}`);
  return text;
}

export function jcmd(pid: number, commandLine: string): Promise<string> {
  return attach(pid, 'jcmd', [commandLine]);
}

async function openSocket(pid: number, socketPath: string): Promise<void> {
  if (await exists(socketPath)) return;
  const trigger = `/proc/${pid}/cwd/.attach_pid${pid}`;
  await writeFile(trigger, '');
  try {
    process.kill(pid, 'SIGQUIT');
    const deadline = Date.now() + deadlineMillis;
    while (!(await exists(socketPath))) {
      if (Date.now() > deadline) throw new Error(`JVM ${pid} opened no attach socket`);
      await wait(2);
    }
  } finally {
    await rm(trigger, { force: true });
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
