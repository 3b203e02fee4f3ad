import { leftoverModes, redactModes, type Policy } from './policy.ts';
import { shorterRetention } from './retention.ts';
import { annotationPrefix, readPolicy } from './resolve.ts';

/**
 * The policy with all that the pod's own annotations forbid: what is collected, by which rungs, whether leftovers
 * are, whether anything is, how a dump is redacted, whether what is stored is encrypted, and how long it is kept. A signal's policy comes from
 * elsewhere: from a person, or from an older forwarder that does not know an annotation or fell back to the default
 * because of a mistyped one. What cannot be read asks for the strictest, since a dump that is stored cannot be taken back.
 */
export function withPodRestrictions(
  policy: Policy,
  annotations: Readonly<Record<string, string>>,
): Policy {
  const { policy: pod } = readPolicy(annotations);
  // Of all rungs the default leaves one out, so that only a pod's own list is a restriction.
  const restrictsRungs = `${annotationPrefix}rungs` in annotations;
  // As with rungs: it is off unless asked for, so that a pod without a word of it forbids nothing.
  const restrictsRelay = `${annotationPrefix}relay-max-mebibytes` in annotations;
  const asked = policy.heapDump.relayMaxMebibytes;
  const retentionDays = shorterRetention(policy.retentionDays, pod.retentionDays);
  return {
    ...policy,
    ...(retentionDays === undefined ? {} : { retentionDays }),
    enabled: policy.enabled && pod.enabled,
    leftovers: stricter(leftoverModes, policy.leftovers, pod.leftovers),
    evidence: common(policy.evidence, pod.evidence),
    rungs: restrictsRungs ? common(policy.rungs, pod.rungs) : policy.rungs,
    redact: stricter(redactModes, policy.redact, pod.redact),
    encrypt: policy.encrypt || pod.encrypt,
    heapDump: {
      ...policy.heapDump,
      relayMaxMebibytes: restrictsRelay ? Math.min(asked, pod.heapDump.relayMaxMebibytes) : asked,
    },
  };
}

function stricter<T>(mildestFirst: readonly T[], one: T, other: T): T {
  return mildestFirst.indexOf(one) > mildestFirst.indexOf(other) ? one : other;
}

/** What both allow; where that is nothing, the pod has the last word. */
function common<T>(asked: readonly T[], allowed: readonly T[]): T[] {
  const both = asked.filter((one) => allowed.includes(one));
  return both.length === 0 ? [...allowed] : both;
}
