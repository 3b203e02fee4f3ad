import { loadAllYaml } from '@kubernetes/client-node';
import { CaptureError, messageOf } from '../errors.ts';

const maxTextBytes = 4 * 1024 * 1024;
const maxObjectCount = 1_000;

/**
 * The objects of a manifest, YAML (also several documents) or JSON, as raw JSON; a List is taken apart.
 * @throws CaptureError InvalidConfiguration when it cannot be read or is too large. Anchors are refused: a few lines of them can
 *   stand for gigabytes.
 */
export function readManifests(text: string): unknown[] {
  if (Buffer.byteLength(text) > maxTextBytes) {
    throw invalid(`it is larger than ${maxTextBytes} bytes`);
  }
  const objects = /^\s*[{[]/.test(text) ? [parseJson(text)] : parseYaml(text);
  const all = objects.flatMap((object) => {
    const { kind, items } = (object ?? {}) as { kind?: unknown; items?: unknown };
    const isList = typeof kind === 'string' && kind.endsWith('List') && Array.isArray(items);
    return isList ? (items as unknown[]) : [object];
  });
  const found = all.filter((object) => object !== null && object !== undefined);
  if (found.length > maxObjectCount) {
    throw invalid(`it has ${found.length} objects, accepted are ${maxObjectCount}`);
  }
  return found;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw invalid(messageOf(error, 300));
  }
}

function parseYaml(text: string): unknown[] {
  if (text.split('\n').some((line) => /^(?:[^#"']*[-:,[{]\s)?[&*][\w-]+$/.test(line.trim()))) {
    throw invalid('YAML anchors and aliases are not accepted');
  }
  try {
    // The library makes Dates of times; raw JSON has them as text.
    return JSON.parse(JSON.stringify(loadAllYaml(text))) as unknown[];
  } catch (error) {
    throw invalid(messageOf(error, 300));
  }
}

function invalid(why: string): CaptureError {
  return new CaptureError('InvalidConfiguration', `the manifest cannot be read: ${why}`);
}
