import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { startHttp } from '../../lib/forwarder/http.ts';
import { createForwarderMetrics } from '../../lib/forwarder/metrics.ts';

let http: Awaited<ReturnType<typeof startHttp>>;
let reasons: string[] = [];
beforeEach(async () => {
  reasons = [];
  http = await startHttp({
    port: 0,
    metrics: createForwarderMetrics(),
    unreadyReasons: () => reasons,
  });
});
afterEach(() => http.close());

const ask = (path: string, init?: RequestInit) =>
  fetch(`http://127.0.0.1:${String(http.port)}${path}`, init);

describe('startHttp', () => {
  it('is healthy whenever it answers', async () => {
    reasons = ['pods : not listed yet'];

    expect((await ask('/healthz')).status).toBe(200);
  });

  it('is ready without a reason against it, and names the reasons', async () => {
    expect((await ask('/readyz')).status).toBe(200);

    reasons = ['pods shop: silent for 301 s'];
    const answer = await ask('/readyz');

    expect(answer.status).toBe(503);
    expect(await answer.text()).toBe('pods shop: silent for 301 s\n');
  });

  it('serves the metrics in the text format of Prometheus', async () => {
    const answer = await ask('/metrics?x=1');

    expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    const text = await answer.text();
    for (const name of [
      'heapcatch_signals_observed_total',
      'heapcatch_signals_sent_total',
      'heapcatch_signals_ignored_total',
      'heapcatch_signals_failed_total',
      'heapcatch_events_ignored_total',
      'heapcatch_event_lag_seconds_bucket',
      'heapcatch_policy_faults_total',
      'heapcatch_spool_bytes',
      'heapcatch_spool_entries',
      'heapcatch_watch_restarts_total',
      'heapcatch_watch_expired_total',
      'heapcatch_pods_cached',
    ]) {
      expect(text).toContain(name);
    }
  });

  it('answers HEAD without a body', async () => {
    const answer = await ask('/healthz', { method: 'HEAD' });

    expect([answer.status, await answer.text()]).toEqual([200, '']);
  });

  it('refuses other methods and says which are accepted', async () => {
    const answer = await ask('/metrics', { method: 'POST', body: 'x'.repeat(1_000) });

    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });

  it.each(['/', '/metrics/', '/healthz/../metrics2', '//metrics', '/%2e%2e/etc/passwd'])(
    'knows no %s',
    async (path) => {
      expect((await ask(path)).status).toBe(404);
    },
  );

  it('refuses to start on a port that is taken', async () => {
    await expect(
      startHttp({ port: http.port, metrics: createForwarderMetrics(), unreadyReasons: () => [] }),
    ).rejects.toThrow(/EADDRINUSE/);
  });
});
