import { idText } from '../hprof/id-table.ts';
import type { Survey } from '../hprof/survey.ts';
import { primitiveTypes } from '../hprof/sub-records.ts';
import { loadersOf, type ClassNameOf } from './class-loaders.ts';
import type { CaptureFacts, Report } from './report-schema.ts';
import { groupStacks } from './stack-groups.ts';
import { verdictOf } from './verdict.ts';

const maxClassRows = 10_000;
const maxEqualArrays = 50;

export interface ReportInput {
  readonly survey: Survey;
  readonly fileName: string;
  readonly fileBytes: number;
  readonly codec: 'none' | 'zstd' | 'gzip';
  /** Why the dump could not be read further, if it could not. */
  readonly fault?: string | undefined;
  readonly retained: RetainedPart;
  readonly capture?: CaptureFacts | undefined;
}

/** What only an index of all objects can tell. */
export interface RetainedPart {
  readonly retained: Report['retained'];
  /** Bytes in the heap and retained bytes by class name. */
  readonly bytesByClass?: ReadonlyMap<string, { heapBytes: number; retainedBytes: number }>;
  readonly classNameOf?: ClassNameOf;
  readonly threadNames?: ReadonlyMap<number, string>;
  /** Texts of arrays by their identifier, as idText has it. */
  readonly previews?: ReadonlyMap<string, string>;
  readonly warnings?: readonly string[];
}

/** Puts the report together: no more than what is already known is computed here. */
export function buildReport(input: ReportInput): Report {
  const { survey, retained } = input;
  const { tally, chain } = survey;
  const classes = classRows(survey, retained);
  const report: Omit<Report, 'verdict'> = {
    schemaVersion: 1,
    warnings: [...warningsOf(input), ...(retained.warnings ?? [])],
    dump: {
      fileName: input.fileName,
      fileBytes: input.fileBytes,
      codec: input.codec,
      bytes: chain.bytes,
      ...(chain.version && { version: chain.version }),
      ...(chain.identifierByteSize && { identifierByteSize: chain.identifierByteSize }),
      ...(survey.dumpTime !== undefined && { dumpTime: survey.dumpTime }),
      whole: chain.ended && input.fault === undefined,
      recordCount: chain.recordCount,
    },
    totals: {
      instanceCount: tally.instanceCount,
      objectArrayCount: tally.objectArrayCount,
      primitiveArrayCount: tally.primitiveArrayCount,
      classCount: tally.classCount,
      shallowBytes: tally.shallowBytes,
      rootCount: tally.rootCount,
    },
    classNameCount: classes.length,
    classes: classes.slice(0, maxClassRows),
    largestArrays: largestArraysOf(survey),
    equalArrays: equalArraysOf(survey, retained.previews),
    ...groupStacks(survey, retained.threadNames ?? new Map()),
    roots: survey.roots.countByKind,
    ...loadersOf(survey, retained.classNameOf ?? (() => undefined)),
    retained: retained.retained,
    ...(input.capture && { capture: input.capture }),
  };
  return { ...report, verdict: verdictOf(report) };
}

function classRows({ tally, names }: Survey, { bytesByClass }: RetainedPart): Report['classes'] {
  return (
    [...tally.byName(names).values()]
      .map((row) => ({ ...row, ...bytesByClass?.get(row.className) }))
      // Class objects are records of their own in a dump; whoever reads the table looks for them here.
      .map((row) =>
        row.className === 'java.lang.Class'
          ? { ...row, instanceCount: row.instanceCount + tally.classCount }
          : row,
      )
      .sort(
        (one, other) =>
          (other.heapBytes ?? other.shallowBytes) - (one.heapBytes ?? one.shallowBytes) ||
          (one.className < other.className ? -1 : 1),
      )
  );
}

function largestArraysOf({ largestArrays, tally, names }: Survey): Report['largestArrays'] {
  return largestArrays.largest().map(({ classCode, elementCount, valueBytes, high, low }) => ({
    className:
      classCode < 0
        ? (primitiveTypes[-1 - classCode]?.arrayName ?? '?')
        : tally.nameOf(classCode, names),
    id: idText(high, low),
    elementCount,
    valueBytes,
  }));
}

function equalArraysOf(
  { contents }: Survey,
  previews: ReadonlyMap<string, string> | undefined,
): Report['equalArrays'] {
  return {
    arrayCount: contents.arrayCount,
    valueBytes: contents.valueBytes,
    duplicateCount: contents.duplicateCount,
    duplicateBytes: contents.duplicateBytes,
    top: contents.mostWasteful(maxEqualArrays).map((equal) => {
      const preview = previews?.get(idText(equal.high, equal.low));
      return {
        className: primitiveTypes[equal.elementType]?.arrayName ?? '?',
        ...(preview !== undefined && { preview }),
        arrayCount: equal.arrayCount,
        valueBytes: equal.valueBytes,
      };
    }),
  };
}

function warningsOf({ survey, fault }: ReportInput): string[] {
  const { chain, names, contents, classes, stacks, tally } = survey;
  const missing = tally.loadedClassCount === 0 && tally.instanceCount > 0;
  const warnings: [boolean, string][] = [
    [
      fault !== undefined,
      `The dump could be read up to byte ${chain.bytes} only: ${fault ?? ''}. All numbers are of what comes before.`,
    ],
    [
      fault === undefined && !chain.ended,
      'The dump has no end record: it was cut, or its JVM killed. All numbers are of what is there.',
    ],
    [missing, 'The dump was cut before its class names: classes are called by identifier.'],
    [!names.complete, 'There are more names than are kept: some classes are called by identifier.'],
    [
      !contents.complete,
      'There are more different texts than are told apart: duplicates are at least as many as shown.',
    ],
    [!classes.complete, 'There are more fields than are kept: some references are not followed.'],
    [!stacks.complete, 'There are more stacks than are kept: some frames are missing.'],
    [
      classes.repeatCount > 0,
      `${classes.repeatCount} classes are described twice; the first description counts.`,
    ],
  ];
  return warnings.filter(([holds]) => holds).map(([, words]) => words.slice(0, 2_000));
}
