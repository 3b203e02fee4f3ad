import { afterEach, beforeEach } from '@jest/globals';
import { FakeBucket } from '../agent/fake-bucket.ts';
import { AgentLab } from './agent-lab.ts';

export interface Fresh {
  readonly lab: AgentLab;
  readonly bucket: FakeBucket;
}

/** Each test of the file has a lab and a bucket of its own, closed behind it. @param take is given them before each. */
export function freshLabs(take: (fresh: Fresh) => void): void {
  let fresh: Fresh;
  beforeEach(async () => {
    fresh = { lab: new AgentLab(), bucket: await FakeBucket.start() };
    take(fresh);
  });
  afterEach(async () => {
    await fresh.lab.close();
    await fresh.bucket.stop();
  });
}

/** Lays the ticket where an agent with this environment fetches it. */
export function orderAt(bucket: FakeBucket, ticket: object): Record<string, string> {
  bucket.objects.set('/ticket', Buffer.from(JSON.stringify(ticket)));
  return { HEAPCATCH_TICKET_URL: bucket.url('/ticket') };
}
