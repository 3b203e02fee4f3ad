import { redactModes, type Policy } from './policy.ts';
import { annotationPrefix } from './resolve.ts';

/**
 * The policy with the stricter redaction of itself and of what the pod's own annotations ask for. A signal's policy
 * comes from elsewhere: from an older forwarder that does not know the annotation, or from one that fell back to the
 * default because of a mistyped one. What cannot be read asks for the strictest, since a dump that is stored
 * unredacted cannot be taken back.
 */
export function withPodRedaction(
  policy: Policy,
  annotations: Readonly<Record<string, string>>,
): Policy {
  const asked = annotations[`${annotationPrefix}redact`]?.trim() ?? 'none';
  const found = redactModes.findIndex((mode) => mode === asked);
  const strictness = found === -1 ? redactModes.length - 1 : found;
  const redact = redactModes[Math.max(strictness, redactModes.indexOf(policy.redact))];
  return redact === undefined || redact === policy.redact ? policy : { ...policy, redact };
}
