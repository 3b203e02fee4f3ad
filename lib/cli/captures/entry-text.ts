import type { IndexEntry } from '../../dump-index/index-entry.ts';
import { sizeWords, timeWords } from '../quantities.ts';
import { factsText } from '../table.ts';

/** `Deployment/cart`. */
export function workloadWords({ where }: IndexEntry): string {
  return `${where.workload.kind}/${where.workload.name}`;
}

/** Size of the heap dump as the JVM wrote it, and as it is stored; what is not known is left out. */
export function dumpWords({ objects }: IndexEntry): string {
  const { heapDump } = objects;
  if (heapDump === undefined) return '-';
  const stored = `${sizeWords(heapDump.compressedBytes)} stored`;
  return heapDump.rawBytes === undefined ? stored : `${sizeWords(heapDump.rawBytes)}, ${stored}`;
}

/** An index entry for people: who, why, when, how, and what is stored. */
export function entryText(objectKey: string, entry: IndexEntry, bucketName: string): string {
  const { where, why, how, memory, objects, faults } = entry;
  const { jvm } = how;
  const refused = Object.entries(how.refusedRungs).map(([rung, reason]) => `${rung}: ${reason}`);
  return factsText([
    ['capture', entry.captureId],
    ['state', entry.reason === undefined ? entry.state : `${entry.state}: ${entry.reason}`],
    ['cluster', where.clusterName],
    ['workload', `${where.namespace}, ${workloadWords(entry)}`],
    ['pod', `${where.podName} (uid ${where.podUid})`],
    ['container', `${where.containerName} (${where.containerID}) on node ${where.nodeName}`],
    ['reason', reasonWords(why)],
    ['ending', why.ending && `${why.ending.cause}: ${why.ending.explanation}`],
    ['crash', why.crash && [why.crash.kind, why.crash.cause, why.crash.frame].join(' ').trim()],
    ...timesOf(entry),
    ['rung', [how.rung ?? 'none', ...refused].join('; ')],
    ['leftover', how.leftover?.path],
    ['JVM', jvm && [jvm.vmName, jvm.jdkVersion, jvm.collector].filter(Boolean).join(', ')],
    ['memory', memory && `${memory.pressure}: ${memory.explanation}`],
    ['heap dump', dumpFacts(entry)],
    ...objects.evidence.map(({ artifact, bytes }): [string, string] => [
      artifact,
      sizeWords(bytes),
    ]),
    ['encrypted', objects.encryption && `by ${objects.encryption.keyArn}`],
    ...faults.map(({ code, message }): [string, string] => ['fault', `${code}: ${message}`]),
    ['objects', `s3://${bucketName}/${objects.prefix}`],
    ['index entry', `s3://${bucketName}/${objectKey}`],
  ]);
}

function reasonWords({ signalReason, numbers, termination }: IndexEntry['why']): string {
  const known = Object.entries(numbers).map(([name, value]) => `${name} ${value}`);
  const end = termination && `${termination.reason}, exit code ${termination.exitCode}`;
  return [signalReason, ...(end === undefined ? [] : [end]), ...known].join(', ');
}

function timesOf({ when }: IndexEntry): [string, string | undefined][] {
  const { dumpStartTime, lastByteTime, durableTime } = when;
  const between = (start: string | undefined, end: string | undefined): string =>
    start === undefined || end === undefined
      ? ''
      : ` (${timeWords(Math.max(0, Date.parse(end) - Date.parse(start)) / 1000)} after its start)`;
  const since = (time: string | undefined): string | undefined =>
    time && time + between(dumpStartTime, time);
  return [
    ['observed', when.observedTime],
    ['kill expected', when.expectedKillTime],
    ['acquired', when.acquireTime],
    ['dump started', dumpStartTime],
    ['dump written', since(lastByteTime)],
    ['dump durable', since(durableTime)],
    ['sealed', when.sealTime],
  ];
}

function dumpFacts(entry: IndexEntry): string | undefined {
  const { heapDump } = entry.objects;
  if (heapDump === undefined) return undefined;
  const { recordCount, redaction, endRecord } = heapDump;
  return [
    dumpWords(entry),
    ...(recordCount === undefined ? [] : [`${recordCount} records`]),
    ...(endRecord === false ? ['the JVM did not end it'] : []),
    ...(redaction === undefined ? [] : [`redacted: ${redaction.mode}`]),
  ].join(', ');
}
