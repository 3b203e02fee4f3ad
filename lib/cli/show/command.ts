import { entryText } from '../captures/entry-text.ts';
import { findCapture } from '../captures/index-reader.ts';
import { exitCodes, jsonOption, runShaped } from '../command-line.ts';
import { placeOptions, placeUsage } from '../place.ts';
import { processIo, type CliIo } from '../process-io.ts';
import { jsonText } from '../terminal-text.ts';

export const usage = `heapcatch show CAPTURE [OPTIONS]

Shows one capture's index entry: who, why, when, how, and what is stored.

  CAPTURE          a captureId, its first characters (4 at least), the key of its index entry, or s3://BUCKET/KEY
  --json           the index entry itself
${placeUsage}

Needs s3:ListBucket and s3:GetObject on index/.

Exit codes: 0 shown; 2 no such capture, not understood or not possible.
`;

const options = { ...placeOptions, ...jsonOption } as const;
const shape = { name: 'show', usage, options, operand: 'CAPTURE' };

/** `heapcatch show`, on the process's own streams and the account of its environment. */
export function runShowCommand(words: readonly string[]): Promise<number> {
  return show(words, processIo());
}

export function show(words: readonly string[], outside: CliIo): Promise<number> {
  return runShaped(shape, words, outside, async (io, values, name) => {
    const place = await io.openPlace(values);
    const { objectKey, entry } = await findCapture(place, name);
    const text =
      values.json === true
        ? `${jsonText(entry, 2)}\n`
        : entryText(objectKey, entry, place.bucketName);
    io.write(text);
    return exitCodes.done;
  });
}
