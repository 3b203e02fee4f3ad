import { describe, expect, it } from '@jest/globals';
import { CaptureMetrics } from '../../lib/agent/capture-metrics.ts';
import type { Progress } from '../../lib/capture/manifest.ts';
import { captureId } from './tickets.ts';

const progress: Progress = {
  ...{ schemaVersion: 1, captureId, fencingToken: 1, time: '2026-01-01T00:00:00Z' },
  ...{ step: 'heapDump', openParts: [], sentPartCount: 2 },
  ...{ rawBytes: 5_000_000_000, compressedBytes: 2_000, sentBytes: 1_000 },
  estimate: {
    ...{ expectedBytes: 6_000_000_000, basedOn: 'ticket' },
    ...{ rawBytesPerSecond: 70, sentBytesPerSecond: 7, remainingSeconds: 40 },
  },
};
const target = { namespace: 'shop', podName: 'cart-1' } as never;

/** The text's samples by name and labels. */
function samplesOf(metrics: CaptureMetrics): Record<string, number> {
  const rows = metrics.text().split('\n');
  const samples = rows.filter((row) => row !== '' && !row.startsWith('#'));
  return Object.fromEntries(
    samples.map((row) => {
      const at = row.lastIndexOf(' ');
      return [row.slice('heapcatch_agent_'.length, at), Number(row.slice(at + 1))];
    }),
  );
}

describe('CaptureMetrics', () => {
  it('shows bytes, rates and time left of a capture while it runs, and counts it when it ends', () => {
    const metrics = new CaptureMetrics();

    const end = metrics.begin({ captureId, target }, () => progress);
    const during = samplesOf(metrics);
    end('whole');
    end('whole');
    const after = samplesOf(metrics);

    const labels = `{capture_id="${captureId}",target_namespace="shop",target_pod="cart-1"}`;
    expect(during).toMatchObject({
      captures_running: 1,
      raw_bytes_total: 5_000_000_000,
      [`capture_raw_bytes${labels}`]: 5_000_000_000,
      [`capture_expected_bytes${labels}`]: 6_000_000_000,
      [`capture_sent_bytes${labels}`]: 1_000,
      [`capture_raw_bytes_per_second${labels}`]: 70,
      [`capture_remaining_seconds${labels}`]: 40,
    });
    expect(after).toEqual({
      captures_running: 0,
      'captures_total{end="whole"}': 1,
      raw_bytes_total: 5_000_000_000,
      sent_bytes_total: 1_000,
      resident_memory_bytes: expect.any(Number),
    });
  });

  it('names every family with help and type, and leaves out what is not known', () => {
    const metrics = new CaptureMetrics();
    const untold = { ...progress };
    delete untold.estimate;
    metrics.begin({ captureId, target }, () => untold);

    const text = metrics.text();

    expect(text).not.toContain('undefined');
    expect(text).not.toMatch(/^heapcatch_agent_capture_remaining_seconds/m);
    for (const line of text.split('\n').filter((one) => one !== '')) {
      expect(line).toMatch(
        /^(# (HELP|TYPE) heapcatch_agent_[a-z_]+ .+|heapcatch_agent_[a-z_]+(\{([a-z_]+="[^"\n]*",?)+\})? \d+)$/,
      );
    }
  });

  it('cannot be led by a name to write another series', () => {
    const metrics = new CaptureMetrics();
    const podName = 'x"} 1\nother{a="\\';
    metrics.begin({ captureId, target: { namespace: 'shop', podName } as never }, () => progress);

    expect(metrics.text()).not.toMatch(/^other/m);
    expect(metrics.text()).toContain('target_pod="x\\"} 1\\nother{a=\\"\\\\"');
  });
});
