import { build } from 'esbuild';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  realpathSync,
  renameSync,
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
    // What it imports by name later is not read before: attacher and uploader begin with little more than Node itself.
    splitting: true,
  },
  forwarder: { entry: 'lib/forwarder/main.ts', v8Flags: [], splitting: false },
  'gc-scan': { entry: 'lib/cli/gc-scan/main.ts', v8Flags: [], splitting: false },
} as const;

/**
 * Builds what the image holds beside a C++ runtime: /heapcatch with a Node of its own, and one file a program with the
 * chunks that it loads.
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
  // Without it Node would look for a package.json up to the root to learn that the programs are ES modules.
  writeFileSync(path.join(target, 'package.json'), '{"type":"module"}\n');
  for (const [name, { entry, v8Flags, splitting }] of Object.entries(programs)) {
    await build({
      entryPoints: { [name]: path.join(project, entry) },
      outdir: target,
      splitting,
      chunkNames: `${name}-[hash]`,
      bundle: true,
      minify: true,
      platform: 'node',
      target: 'node24',
      format: 'esm',
      logLevel: 'error',
      banner: {
        js:
          '#!/heapcatch/node\n' +
          // CommonJS dependencies inside an ES module still ask for require.
          "import{createRequire as heapcatchRequire}from'node:module';const require=heapcatchRequire(import.meta.url);" +
          `import{setFlagsFromString as heapcatchFlag}from'node:v8';${JSON.stringify(v8Flags)}.forEach(heapcatchFlag);`,
      },
    });
    renameSync(path.join(target, `${name}.js`), path.join(target, name));
    chmodSync(path.join(target, name), 0o755);
  }
  return folder;
}

if (import.meta.main) {
  process.stdout.write(`${await buildImageFolder()}\n`);
}
