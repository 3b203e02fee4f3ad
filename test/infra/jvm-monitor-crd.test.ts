import { describe, expect, it } from '@jest/globals';
import { loadYaml } from '@kubernetes/client-node';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { jvmMonitorDefinition } from '../../infra/kubernetes/crd/definition.ts';

const file = path.resolve(
  import.meta.dirname,
  '../../infra/kubernetes/base/jvm-monitor-crd.yaml',
);

describe('the CustomResourceDefinition of JvmMonitor', () => {
  it('is that of the schema by which the forwarder reads it (node infra/kubernetes/crd/write.ts)', () => {
    expect(loadYaml(readFileSync(file, 'utf8'))).toEqual(
      JSON.parse(JSON.stringify(jvmMonitorDefinition())),
    );
  });
});
