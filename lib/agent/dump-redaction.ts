import { setFlagsFromString } from 'node:v8';
import type { Manifest } from '../capture/manifest.ts';
import { CaptureError } from '../errors.ts';
import { ClassLayouts } from '../hprof/class-layouts.ts';
import type { IdentifierByteSize } from '../hprof/records.ts';
import { Redactor, type RedactMode } from '../hprof/redact.ts';

type RedactionAccount = NonNullable<NonNullable<Manifest['dump']>['redaction']>;

/**
 * JDK ≥ 22, which alone writes segments, runs on 64 bits almost everywhere. The base, whose header says it, can still
 * be in the JVM's buffer when the first segment is read. Read with the wrong size, no block of sub-records comes out
 * even, and a block that does not is not stored.
 */
const segmentIdentifierByteSize: IdentifierByteSize = 8;

/** The redactors of one dump: each of its files is a stream of its own, their classes are described in one of them. */
export class DumpRedaction {
  readonly #mode: RedactMode;
  readonly #layouts = new ClassLayouts();
  readonly #redactors: Redactor[] = [];
  #hasSegments = false;

  constructor(mode: RedactMode) {
    // The image's agent forbids it for its memory's sake; this alone would pay for that (docs/decisions/agent.md).
    setFlagsFromString('--opt');
    this.#mode = mode;
  }

  redactorFor(fileHeader: 'expected' | 'absent'): Redactor {
    const isSegment = fileHeader === 'absent';
    this.#hasSegments ||= isSegment;
    const redactor = new Redactor({
      mode: this.#mode,
      layouts: this.#layouts,
      ...(isSegment && { segmentIdentifierByteSize }),
    });
    this.#redactors.push(redactor);
    return redactor;
  }

  /**
   * What was done to the whole dump.
   * @throws CaptureError RedactionFailed: the base's header says another size than the segments were read with.
   */
  account(identifierByteSize: IdentifierByteSize | undefined): RedactionAccount {
    const size = identifierByteSize ?? segmentIdentifierByteSize;
    if (this.#hasSegments && size !== segmentIdentifierByteSize) {
      const message = `segments of a dump with identifiers of ${size} bytes; accepted are ${segmentIdentifierByteSize}`;
      throw new CaptureError('RedactionFailed', message);
    }
    const accounts = this.#redactors.map(({ account }) => account);
    return {
      mode: this.#mode,
      zeroedBytes: accounts.reduce((sum, one) => sum + one.zeroedBytes, 0),
      blankedInstanceCount: accounts.reduce((sum, one) => sum + one.blankedInstanceCount, 0),
    };
  }
}
