// Writes the chart's templates from infra/kubernetes: node infra/helm/write.ts. A test holds them to it.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { chartFiles } from './chart-files.ts';

for (const [file, text] of Object.entries(chartFiles())) {
  const target = path.join(import.meta.dirname, 'heapcatch', file);
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(target, text);
}
