import { findJdks, type Jdk } from '../../lib/local/jdks.ts';

/**
 * The newest JDK of each major version on this machine, newest first; printed once per test file, so that a
 * report shows what was tested.
 * @throws Error in one line when there is none.
 */
export function jdksUnderTest(): readonly Jdk[] {
  const jdks = findJdks().filter(
    (jdk, index, all) => all.findIndex(({ major }) => major === jdk.major) === index,
  );
  if (jdks.length === 0) {
    throw new Error(
      'These tests need a JDK: set JAVA_HOME, put javac on PATH, or install one to /usr/lib/jvm.',
    );
  }
  const list = jdks.map(({ version, home }) => `${version} (${home})`).join(', ');
  process.stderr.write(`JDKs under test: ${list}\n`);
  return jdks;
}
