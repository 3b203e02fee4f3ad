import { CaptureError } from '../errors.ts';
import { shown } from '../validation.ts';
import {
  artifacts,
  leftoverModes,
  podDeletionModes,
  policySchema,
  redactModes,
  rungs,
  type Policy,
} from './policy.ts';
import { retentionDayCounts } from './retention.ts';
import { cgroupNearLimit, gcStorm, heapNearLimit, type MetricThreshold } from './thresholds.ts';

export const annotationPrefix = 'heapcatch.dev/';

/** The policy of a pod without annotations. */
export const defaultPolicy: Policy = policySchema.parse({});

const maxShownFaultCount = 20;
const maxValueLength = 200;

interface Setting {
  /** Where in the policy it goes. */
  path: readonly [string] | readonly [string, string];
  read(text: string): unknown;
  accepted: string;
  /**
   * What a value that cannot be read counts as, of a setting by which somebody forbids something: a dump that is
   * stored cannot be taken back. Others fall back to the default.
   */
  strictest?(text: string): unknown;
}

const number = (path: Setting['path'], min: number, max: number): Setting => ({
  path,
  read: (text) => (/^[0-9]{1,9}$/.test(text) ? Number(text) : undefined),
  accepted: `a whole number of ${min} to ${max}`,
});
const duration = (path: Setting['path'], min: number, max: number): Setting => ({
  path,
  read: readSeconds,
  accepted: `${min} to ${max} seconds, as "90", "90s", "10m" or "1h"`,
});
/** @param ifNoneIsKnown what a list counts as of which no name is known. */
const list = (
  path: Setting['path'],
  names: readonly string[],
  ifNoneIsKnown: readonly string[],
): Setting => ({
  path,
  read: (text) => readList(text, names),
  accepted: `a comma-separated list of ${names.join(', ')}, each at most once`,
  strictest: (text) => {
    const known = namesIn(text).filter((name) => names.includes(name));
    return known.length === 0 ? ifNoneIsKnown : [...new Set(known)];
  },
});

const yesOrNo = (path: Setting['path']): Setting => ({
  path,
  read: (text) => (text === 'true' ? true : text === 'false' ? false : undefined),
  accepted: '"true" or "false"',
});

const thresholdOrOff = (
  path: Setting['path'],
  thresholds: (above: number) => MetricThreshold[],
): Setting => ({
  path,
  read: (text) => {
    if (text === 'off') return [];
    return /^([1-9][0-9]?|100)$/.test(text) ? thresholds(Number(text)) : undefined;
  },
  accepted: '"off" or a whole number of percent, 1 to 100',
});

/** Ranges are those of policySchema, which has the last word; the tests hold both together. */
const settings: Readonly<Record<string, Setting>> = {
  enabled: { ...yesOrNo(['enabled']), strictest: () => false },
  'on-delete': {
    path: ['triggers', 'podDeletion'],
    read: (text) => text,
    accepted: podDeletionModes.join(', '),
  },
  leftovers: {
    path: ['leftovers'],
    read: (text) => text,
    accepted: leftoverModes.join(', '),
    strictest: () => leftoverModes.at(-1),
  },
  watch: duration(['triggers', 'watchSeconds'], 0, 86_400),
  'liveness-failures': number(['triggers', 'livenessFailureCount'], 1, 100),
  'heap-near-limit': thresholdOrOff(['triggers', 'heapNearLimit'], heapNearLimit),
  'gc-storm': thresholdOrOff(['triggers', 'gcStorm'], gcStorm),
  'cgroup-near-limit': thresholdOrOff(['triggers', 'cgroupNearLimit'], cgroupNearLimit),
  cooldown: duration(['limits', 'cooldownSeconds'], 0, 86_400),
  'dumps-per-hour': number(['limits', 'dumpsPerHourCount'], 1, 60),
  'node-slots': number(['limits', 'nodeSlotCount'], 1, 10),
  'cluster-slots': number(['limits', 'clusterSlotCount'], 1, 50),
  'min-ready': number(['limits', 'minReadyReplicaCount'], 0, 1_000),
  'capture-deadline': duration(['limits', 'captureDeadlineSeconds'], 10, 3_600),
  evidence: list(
    ['evidence'],
    artifacts,
    artifacts.filter((artifact) => artifact !== 'heapDump'),
  ),
  // Exec asks to be allowed by its name.
  rungs: list(['rungs'], rungs, defaultPolicy.rungs),
  redact: {
    path: ['redact'],
    read: (text) => text,
    accepted: redactModes.join(', '),
    strictest: () => redactModes.at(-1),
  },
  encrypt: { ...yesOrNo(['encrypt']), strictest: () => true },
  retention: {
    path: ['retentionDays'],
    read: (text) => (/^[0-9]{1,3}d$/.test(text) ? Number(text.slice(0, -1)) : undefined),
    accepted: retentionDayCounts.map((days) => `${days}d`).join(', '),
  },
  'skip-merge': yesOrNo(['heapDump', 'skipMerge']),
  'relay-max-mebibytes': number(['heapDump', 'relayMaxMebibytes'], 0, 4_096),
};

/**
 * The policy that a pod's annotations `heapcatch.dev/…` ask for, on top of the default.
 * Other annotations are nobody's business here; an unknown one of ours is a fault, for a typo would be a policy that
 * silently never fires.
 * @throws CaptureError InvalidPolicy with all faults at once: annotation, value, what is accepted.
 */
export function resolvePolicy(annotations: Readonly<Record<string, string>>): Policy {
  const { policy, faults } = readPolicy(annotations);
  if (faults.length === 0) return policy;
  const more =
    faults.length > maxShownFaultCount ? `; and ${faults.length - maxShownFaultCount} more` : '';
  throw new CaptureError(
    'InvalidPolicy',
    `annotations are not valid: ${faults.slice(0, maxShownFaultCount).join('; ')}${more}`,
    { details: { faults: faults.slice(0, maxShownFaultCount) } },
  );
}

/**
 * As resolvePolicy, where faulty annotations must not stop the capture: each setting by itself. One that cannot be
 * read has its default, or its strictest value if it is one by which somebody forbids something.
 * @param base what holds where no annotation says otherwise.
 */
export function readPolicy(
  annotations: Readonly<Record<string, string>>,
  base: Policy = defaultPolicy,
): {
  policy: Policy;
  /** One sentence each: annotation, value, what is accepted. */
  faults: readonly string[];
} {
  const faults: string[] = [];
  const asked: Record<string, unknown> = {};
  for (const [key, text] of Object.entries(annotations)) {
    if (!key.startsWith(annotationPrefix)) continue;
    const name = key.slice(annotationPrefix.length);
    const setting = Object.hasOwn(settings, name) ? settings[name] : undefined;
    if (setting === undefined) {
      faults.push(`${shown(key)} is not known, accepted are ${Object.keys(settings).join(', ')}`);
      continue;
    }
    const value = text.length <= maxValueLength ? setting.read(text.trim()) : undefined;
    const part = nested(setting.path, value);
    if (value === undefined || !policySchema.safeParse(part).success) {
      faults.push(`${key} is ${shown(text)}, accepted is ${setting.accepted}`);
      const strictest = setting.strictest?.(text.slice(0, maxValueLength));
      if (strictest !== undefined) merge(asked, nested(setting.path, strictest));
      continue;
    }
    merge(asked, part);
  }
  const whole: Record<string, unknown> = { ...base };
  merge(whole, asked);
  return { policy: policySchema.parse(whole), faults };
}

function nested(path: Setting['path'], value: unknown): Record<string, unknown> {
  const [outer, inner] = path;
  return { [outer]: inner === undefined ? value : { [inner]: value } };
}

/** Two levels are all that a policy has. */
function merge(asked: Record<string, unknown>, part: Record<string, unknown>): void {
  for (const [key, value] of Object.entries(part)) {
    const before = asked[key];
    asked[key] = isGroup(before) && isGroup(value) ? { ...before, ...value } : value;
  }
}

function isGroup(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const unitSeconds: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3_600 };

function readSeconds(text: string): number | undefined {
  const [, digits, unit] = /^([0-9]{1,9})([smh]?)$/.exec(text) ?? [];
  const factor = unit === undefined ? undefined : unitSeconds[unit];
  return factor === undefined ? undefined : Number(digits) * factor;
}

function readList(text: string, names: readonly string[]): readonly string[] | undefined {
  const parts = namesIn(text);
  const valid = parts.every((part) => names.includes(part)) && new Set(parts).size === parts.length;
  return valid ? parts : undefined;
}

function namesIn(text: string): readonly string[] {
  return text.split(',').map((part) => part.trim());
}
