import { createServer, connect, type Server, type Socket } from 'node:net';

/**
 * A TCP gate between the pods and S3: everything passes, until it is told to let only so many more bytes up.
 * What lets a test kill an agent in the middle of its upload, without a clock.
 */
export class Gate {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #allowedBytes = Infinity;
  #held: (() => void)[] = [];
  #onHeld: (() => void)[] = [];

  private constructor(target: { host: string; port: number }) {
    this.#server = createServer((client) => {
      const upstream = connect(target);
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on('error', () => socket.destroy());
        socket.on('close', () => {
          this.#sockets.delete(socket);
          client.destroy();
          upstream.destroy();
        });
      }
      upstream.pipe(client);
      client.on('data', (chunk) => this.#pass(client, upstream, chunk));
    });
  }

  static async open(bindAddress: string, target: { host: string; port: number }): Promise<Gate> {
    const gate = new Gate(target);
    await new Promise<void>((resolve, reject) => {
      gate.#server.once('error', reject);
      gate.#server.listen(0, bindAddress, resolve);
    });
    return gate;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the gate is closed');
    return address.port;
  }

  #pass(client: Socket, upstream: Socket, chunk: Buffer): void {
    if (this.#allowedBytes < chunk.length) {
      client.pause();
      for (const tell of this.#onHeld.splice(0)) tell();
      this.#held.push(() => {
        client.resume();
        this.#pass(client, upstream, chunk);
      });
      return;
    }
    this.#allowedBytes -= chunk.length;
    upstream.write(chunk);
  }

  /** Resolves when the first byte beyond the allowance has come. */
  holdAfter(bytes: number): Promise<void> {
    this.#allowedBytes = bytes;
    return new Promise((resolve) => this.#onHeld.push(resolve));
  }

  release(): void {
    this.#allowedBytes = Infinity;
    for (const resume of this.#held.splice(0)) resume();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
