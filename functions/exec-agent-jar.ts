import { readFileSync } from 'node:fs';
import path from 'node:path';

/** The same place beside the sources and inside of a function's package. */
export const execAgentJarPath = path.join(
  import.meta.dirname,
  '../dist/exec-agent/heapcatch-exec-agent.jar',
);

/** It goes through one frame of an exec. */
const maxJarBytes = 256 * 1024;

/** The jar of the exec agent; `undefined` when the package was built without a JDK, or it is larger than 256 KiB. */
export function readExecAgentJar(jarPath: string = execAgentJarPath): Uint8Array | undefined {
  try {
    const jar = readFileSync(jarPath);
    return jar.byteLength <= maxJarBytes ? jar : undefined;
  } catch {
    return undefined;
  }
}
