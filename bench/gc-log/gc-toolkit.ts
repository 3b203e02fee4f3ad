import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { say, setting } from '../settings.ts';

const version = '3.5.0';
const fetchSeconds = 600;
const runSeconds = 900;

/** Runs GcToolkitRun.java on a log; prints what our-run.ts prints. */
export interface GcToolkit {
  run(file: string): Promise<string>;
}

/**
 * GCToolKit of Maven Central, fetched once by mvn into the user's cache, or the jars in the folder that
 * HEAPCATCH_GCTOOLKIT names; and the harness, compiled.
 * @throws Error where mvn fails.
 */
export async function findGcToolkit(javaHome: string, folder: string): Promise<GcToolkit> {
  const jars = await jarFolder();
  const classes = join(folder, 'classes');
  const source = join(import.meta.dirname, 'GcToolkitRun.java');
  const run = promisify(execFile);
  await run(join(javaHome, 'bin/javac'), ['-cp', join(jars, '*'), '-d', classes, source]);
  const classPath = [classes, join(jars, '*')].join(delimiter);
  return {
    async run(file) {
      const args = ['-cp', classPath, 'GcToolkitRun', file];
      const options = { timeout: runSeconds * 1_000 };
      const { stdout } = await run(join(javaHome, 'bin/java'), args, options);
      return stdout;
    },
  };
}

async function jarFolder(): Promise<string> {
  const given = setting('HEAPCATCH_GCTOOLKIT', '');
  if (given !== '') return given;
  const cache = setting('XDG_CACHE_HOME', join(homedir(), '.cache'));
  const root = join(cache, `heapcatch-bench/gctoolkit-${version}`);
  const jars = join(root, 'jars');
  if (existsSync(jars) && readdirSync(jars).length > 0) return jars;
  say(`fetching GCToolKit ${version} into ${root}`);
  mkdirSync(root, { recursive: true });
  const pom = join(root, 'pom.xml');
  writeFileSync(pom, pomText());
  const args = ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${jars}`];
  await promisify(execFile)('mvn', args, { timeout: fetchSeconds * 1_000 });
  return jars;
}

function pomText(): string {
  const dependency = (artifact: string): string =>
    `<dependency><groupId>com.microsoft.gctoolkit</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`;
  return `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>heapcatch</groupId><artifactId>bench</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>${dependency('gctoolkit-parser')}${dependency('gctoolkit-vertx')}</dependencies></project>
`;
}
