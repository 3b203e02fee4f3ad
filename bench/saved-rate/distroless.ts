import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { buildBase, buildImage, buildJavaRoot } from '../../test/e2e/cluster.ts';
import { run } from '../../test/e2e/shell.ts';
import { benchJdks } from '../settings.ts';

/** A JRE and its libraries: no shell, no jcmd, nothing else to run. */
export async function buildDistroless(folder: string): Promise<string> {
  const [jdk] = benchJdks([17]);
  if (jdk === undefined) throw new Error('saved-rate needs JDK 17');
  const base = await buildBase(join(folder, 'image-base'));
  const classes = join(folder, 'image-classes');
  const source = join(import.meta.dirname, '../../lib/local/application/LeakingApplication.java');
  await run(join(jdk.home, 'bin/javac'), ['-d', classes, source]);
  const root = await buildJavaRoot({
    base,
    folder: join(folder, 'image'),
    jdkHome: jdk.home,
    classes,
  });
  for (const bin of ['bin', 'sbin', 'usr/bin', 'usr/sbin']) {
    rmSync(join(root, bin), { recursive: true, force: true });
  }
  const programs = join(root, 'opt/java/bin');
  for (const name of readdirSync(programs)) if (name !== 'java') rmSync(join(programs, name));
  const image = await buildImage('heapcatch-bench-distroless:17', root);
  for (const part of ['image-base', 'image-classes', 'image']) {
    rmSync(join(folder, part), { recursive: true, force: true });
  }
  return image;
}
