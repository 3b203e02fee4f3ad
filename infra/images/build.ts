import { build } from 'esbuild';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

const project = path.resolve(import.meta.dirname, '../..');
/** Of util-linux; needs nothing but the C library that the base image has. */
const fallocateFile = '/usr/bin/fallocate';
/** Programs of the image, and the file each starts from. */
const programs = {
  agent: {
    entry: 'lib/agent/main.ts',
    // Set by the program itself: a first line passes one argument. Less code is compiled, less memory is touched.
    v8Flags: ['--no-opt', '--optimize-for-size', '--max-lazy'],
  },
  forwarder: { entry: 'lib/forwarder/main.ts', v8Flags: [] },
  'gc-scan': { entry: 'lib/cli/gc-scan/main.ts', v8Flags: [] },
} as const;

/**
 * Builds what the image holds beside a C++ runtime: /heapcatch with a Node of its own, and one file a program.
 * Each program names that Node in its first line, so that the image needs no shell.
 * @returns the folder to lay over the base image's root.
 */
export async function buildImageFolder(
  folder = path.join(project, 'dist/image'),
  nodeFile: string = realpathSync(process.execPath),
): Promise<string> {
  const target = path.join(folder, 'heapcatch');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  copyFileSync(nodeFile, path.join(target, 'node'));
  chmodSync(path.join(target, 'node'), 0o755);
  // Gives disk space back while a dump is written. A build machine without it makes an image without that.
  if (existsSync(fallocateFile)) copyFileSync(fallocateFile, path.join(target, 'fallocate'));
  // Without it Node would look for a package.json up to the root to learn what kind of module the programs are.
  writeFileSync(path.join(target, 'package.json'), '{"type":"commonjs"}\n');
  for (const [name, { entry, v8Flags }] of Object.entries(programs)) {
    const outfile = path.join(target, name);
    await build({
      entryPoints: [path.join(project, entry)],
      outfile,
      bundle: true,
      minify: true,
      platform: 'node',
      target: 'node24',
      // Not an ES module: to import node:http as one loads all that it can export, undici included, 13 MiB. What is
      // imported by name later stands in the same file, and is not run before.
      format: 'cjs',
      logLevel: 'error',
      banner: {
        js: `#!/heapcatch/node\n${JSON.stringify(v8Flags)}.forEach(require('node:v8').setFlagsFromString);`,
      },
    });
    chmodSync(outfile, 0o755);
  }
  return folder;
}

if (import.meta.main) {
  process.stdout.write(`${await buildImageFolder()}\n`);
}
