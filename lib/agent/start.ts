import { connect } from 'node:net';
import type { Readable } from 'node:stream';
import { messageOf } from '../errors.ts';
import { refused, ticketUrlOf, type StartAnswer } from './daemon.ts';

const deadlineMilliseconds = 10_000;
const maxLineLength = 8 * 1024;

/**
 * Hands the ticket's URL to the daemon of the same pod, and answers once the ticket was fetched and accepted,
 * or refused. The URL comes by standard input: arguments of an exec stand in the cluster's audit log.
 */
export async function startCapture(input: Readable, socketPath: string): Promise<StartAnswer> {
  const deadline = AbortSignal.timeout(deadlineMilliseconds);
  const line = await readLine(input, deadline);
  if (line === undefined || ticketUrlOf(line) === undefined) {
    return refused('InvalidRequest', 'accepted is one line {"ticketUrl": "…"} on standard input');
  }
  try {
    return await ask(socketPath, line, deadline);
  } catch (error) {
    return refused('AgentUnavailable', `the agent did not answer: ${messageOf(error, 200)}`);
  }
}

/** The first line; `undefined` when there is none in time, or it is too long. */
async function readLine(input: Readable, deadline: AbortSignal): Promise<string | undefined> {
  let text = '';
  const cut = (): void => void input.destroy();
  deadline.addEventListener('abort', cut);
  try {
    for await (const chunk of input) {
      text += String(chunk);
      const end = text.indexOf('\n');
      if (end !== -1) return text.slice(0, end);
      if (text.length > maxLineLength) return undefined;
    }
    return text;
  } catch {
    return undefined;
  } finally {
    deadline.removeEventListener('abort', cut);
  }
}

function ask(socketPath: string, line: string, deadline: AbortSignal): Promise<StartAnswer> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect({ path: socketPath, signal: deadline });
    socket.setEncoding('utf8');
    socket.once('connect', () => socket.write(`${line}\n`));
    socket.on('data', (chunk: string) => (text += chunk));
    socket.once('error', reject);
    socket.once('end', () => {
      try {
        resolve(JSON.parse(text) as StartAnswer);
      } catch {
        reject(new Error('its answer is not JSON'));
      }
    });
  });
}
