import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { definitionText } from '../../infra/kubernetes/crd/text.ts';

const file = path.resolve(import.meta.dirname, '../../infra/kubernetes/base/jvm-monitor-crd.yaml');

describe('the CustomResourceDefinition of JvmMonitor', () => {
  it('is made of the schema by which the forwarder reads it: node infra/kubernetes/crd/write.ts', async () => {
    expect(readFileSync(file, 'utf8')).toBe(await definitionText());
  });
});
