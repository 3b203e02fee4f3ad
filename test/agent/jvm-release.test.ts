import { describe, expect, it } from '@jest/globals';
import { JvmRelease } from '../../lib/agent/jvm-release.ts';
import type { AttachReply } from '../../lib/jvm/attach-protocol.ts';

const answer = (text: string): AttachReply => ({ status: 0, output: Buffer.from(text) }) as never;
const whole = answer(
  'Dumping heap to /tmp/d.hprof ...\nHeap dump file created [222 bytes in 0.3 secs]\n',
);

function setUp() {
  const reply = Promise.withResolvers<AttachReply>();
  let toldCount = 0;
  const release = new JvmRelease(reply.promise, () => (toldCount += 1));
  return {
    release,
    told: async () => {
      await new Promise(setImmediate);
      return toldCount;
    },
    ...reply,
  };
}

describe('a JVM that dumps', () => {
  it('may go when it has answered and its file is open, in either order', async () => {
    const first = setUp();
    first.release.opened();
    expect(await first.told()).toBe(0);
    first.resolve(whole);
    expect(await first.told()).toBe(1);
    first.release.opened();
    expect(await first.told()).toBe(1);

    const second = setUp();
    second.resolve(whole);
    expect(await second.told()).toBe(0);
    second.release.opened();
    expect(await second.told()).toBe(1);
  });

  it('is needed on where its answer broke off, or there is none', async () => {
    const cut = setUp();
    cut.release.opened();
    cut.resolve(answer('Dumping heap to /tmp/d.hprof ...\n'));
    expect(await cut.told()).toBe(0);

    const lost = setUp();
    lost.release.opened();
    lost.reject(new Error('gone'));
    expect(await lost.told()).toBe(0);
  });
});
