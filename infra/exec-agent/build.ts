import { execFileSync } from 'node:child_process';
import { globSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { agentVersion } from '../../lib/agent/version.ts';
import { execAgentJarPath } from '../../functions/exec-agent-jar.ts';
import { findJdks, type Jdk } from '../../lib/local/jdks.ts';

const sources = path.join(import.meta.dirname, 'src');
/** `jar --date` came with JDK 17; `javac --release 8` is still in JDK 25. */
const minJdkMajor = 17;
const maxToolMillis = 120_000;

/** The JDK that builds: the newest of this machine; `null` when there is none that can. */
export function findBuildJdk(jdks: readonly Jdk[] = findJdks()): Jdk | null {
  return jdks.find(({ major }) => major >= minJdkMajor) ?? null;
}

/**
 * Compiles the exec agent to Java 8 bytecode and packs it. The same JDK makes the same bytes: fixed times, entries
 * in order, a manifest that names no builder.
 */
export function buildExecAgent(jdk: Jdk, jarPath: string = execAgentJarPath): void {
  const folder = mkdtempSync(path.join(tmpdir(), 'heapcatch-exec-agent-'));
  const tool = (name: string, args: readonly string[]): void => {
    // Each runs for a second: the fast compiler alone halves its work.
    const quick = ['-J-XX:TieredStopAtLevel=1', '-J-XX:+UseSerialGC'];
    execFileSync(path.join(jdk.home, 'bin', name), [...quick, ...args], {
      timeout: maxToolMillis,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  };
  try {
    const classes = path.join(folder, 'classes');
    const files = globSync('**/*.java', { cwd: sources }).sort();
    const inputs = files.map((file) => path.join(sources, file));
    // No debug information: half the size, and the jar goes through an exec.
    const options = ['--release', '8', '-Xlint:-options', '-g:none', '-encoding', 'UTF-8'];
    tool('javac', [...options, '-d', classes, ...inputs]);
    const manifest = path.join(folder, 'MANIFEST.MF');
    writeFileSync(
      manifest,
      `Manifest-Version: 1.0\nCreated-By: heapcatch\nMain-Class: dev.heapcatch.exec.ExecAgent\nImplementation-Version: ${agentVersion}\n`,
    );
    mkdirSync(path.dirname(jarPath), { recursive: true });
    const entries = globSync('**/*.class', { cwd: classes })
      .sort()
      .flatMap((file) => ['-C', classes, file]);
    const fixed = ['--date', '2000-01-01T00:00:00Z', '--manifest', manifest];
    // Whole or not at all: two builds of the package can run at once.
    const unfinished = `${jarPath}.${process.pid}`;
    tool('jar', ['--create', '--file', unfinished, ...fixed, ...entries]);
    renameSync(unfinished, jarPath);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Builds it where the functions look for it, or says in one line what is missing without it. */
export function buildForPackage(
  write: (line: string) => void,
  jdk: Jdk | null = findBuildJdk(),
  jarPath: string = execAgentJarPath,
): void {
  if (jdk !== null) {
    buildExecAgent(jdk, jarPath);
    write(`exec agent built by JDK ${jdk.version}`);
    return;
  }
  // An older jar would stay unnoticed, and be one that belongs to other sources.
  rmSync(jarPath, { force: true });
  write(
    `no JDK ${minJdkMajor} or later found (JAVA_HOME, PATH, /usr/lib/jvm): packaged without the exec agent, the rung "exec" answers ExecAgentNotPackaged`,
  );
}

if (import.meta.main) buildForPackage((line) => process.stdout.write(`${line}\n`));
