import { describe, expect, it } from '@jest/globals';
import { policyCommand } from '../../lib/cli/policy/command.ts';

const monitor = `
apiVersion: heapcatch.dev/v1alpha1
kind: JvmMonitor
metadata: { name: cart, namespace: shop }
spec:
  selector:
    matchLabels: { app: cart }
  triggers:
    heapNearLimit: [{ metric: heapAfterGcPercent, above: 85, forSeconds: 30 }]
    alerts: [JvmHeapHigh]
`;
const pod = (annotations: Record<string, string> = {}, labels = { app: 'cart' }) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'cart-1', namespace: 'shop', uid: 'uid-1', labels, annotations },
  spec: { containers: [{ name: 'app' }] },
  status: {
    phase: 'Running',
    conditions: [{ type: 'Ready', status: 'True' }],
    containerStatuses: [
      {
        ...{ name: 'app', containerID: 'containerd://a', ready: true, started: true },
        state: { running: { startedAt: '2026-03-01T09:00:00Z' } },
      },
    ],
  },
});
const signal = (fields: object = {}) => ({
  ...{ namespace: 'shop', podName: 'cart-1', reason: 'HeapNearLimit' },
  numbers: { heapAfterGcPercent: 91 },
  ...fields,
});

async function run(files: Record<string, unknown>, ...words: string[]) {
  const written: string[] = [];
  const errors: string[] = [];
  const exitCode = await policyCommand(words, {
    read: (file) => {
      const content = files[file];
      if (content === undefined) return Promise.reject(new Error(`no file ${file}`));
      return Promise.resolve(typeof content === 'string' ? content : JSON.stringify(content));
    },
    write: (text) => written.push(text),
    writeError: (text) => errors.push(text),
    now: () => new Date('2026-03-01T10:00:00Z'),
  });
  return { exitCode, text: written.join(''), error: errors.join('') };
}
const test = (files: Record<string, unknown>) =>
  run({ m: monitor, p: pod(), s: signal(), ...files }, 'test', 'm', '--signal', 's', '--pod', 'p');

describe('heapcatch policy test', () => {
  it('ends with 0 and says the decision where a signal leads to a capture', async () => {
    const { exitCode, text } = await test({});

    expect(exitCode).toBe(0);
    expect(text).toMatch(/^monitor {4}cart$/m);
    expect(text).toMatch(/heapAfterGcPercent above 85 for 30 s: 91, crossed$/m);
    expect(text).toMatch(/^decision {3}dump of /m);
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    [
      'no threshold is crossed',
      { s: signal({ numbers: { heapAfterGcPercent: 80 } }) },
      /not crossed/,
    ],
    [
      'the alert is not named',
      { s: signal({ reason: 'AlertFiring', alertName: 'X' }) },
      /accepted: JvmHeapHigh/,
    ],
    ['the pod forbids it', { p: pod({ 'heapcatch.dev/enabled': 'false' }) }, /enabled: false/],
    ['the pod is another one', { s: signal({ podUid: 'uid-2' }) }, /PodReplaced/],
  ])('ends with 1 and says why where %s', async (_case, files, why) => {
    const { exitCode, text } = await test(files);

    expect(exitCode).toBe(1);
    expect(text).toMatch(why);
  });

  it('says in JSON which monitor governs, and which are overridden', async () => {
    const second = monitor
      .replace('name: cart', 'name: first')
      .replace('spec:', 'spec:\n  priority: 5');
    const { exitCode, text } = await run(
      { m: `${monitor}---${second}`, p: pod(), s: signal() },
      ...['test', 'm', '--signal', 's', '--pod', 'p', '--json'],
    );

    expect(exitCode).toBe(0);
    expect(JSON.parse(text)).toMatchObject({
      ...{ captures: true, monitorName: 'first', overridden: ['cart'], assumedPod: false },
    });
  });

  it('assumes a pod where none is given, and says so', async () => {
    const { exitCode, text } = await run({ m: monitor, s: signal() }, 'test', 'm', '--signal', 's');

    expect(exitCode).toBe(0);
    expect(text).toMatch(/^pod .*assumed/m);
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ['a monitor with a typo', { m: monitor.replace('triggers', 'trigers') }, /trigers/],
    ['a file without a monitor', { m: pod() }, /no JvmMonitor/],
    ['a signal with an unknown reason', { s: signal({ reason: 'Boom' }) }, /reason/],
    ['YAML that is none', { m: 'a: [' }, /cannot be read/],
    ['YAML anchors', { m: 'a: &a\n  b: 1\nc: *a\n' }, /anchors/],
  ])('ends with 2 for %s', async (_case, files, why) => {
    const { exitCode, error, text } = await test(files);

    expect(exitCode).toBe(2);
    expect(text).toBe('');
    expect(error).toMatch(why);
  });

  it.each([
    [['test', 'm']],
    [['try', 'm', '--signal', 's']],
    [['test', '--signal', 's']],
    [['test', 'm', '--signal', 's', '--nope']],
  ])('ends with 2 for the words %j', async (words) => {
    expect((await run({ m: monitor, s: signal() }, ...words)).exitCode).toBe(2);
  });
});
