// Writes base/jvm-monitor-crd.yaml: node infra/kubernetes/crd/write.ts. A test holds the file to the definition.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { definitionText } from './text.ts';

writeFileSync(
  path.join(import.meta.dirname, '../base/jvm-monitor-crd.yaml'),
  await definitionText(),
);
