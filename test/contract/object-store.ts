import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ObjectStore, StoredPart } from '../../lib/capture/ports.ts';
import { minPartBytes } from '../../lib/capture/ticket.ts';

/** A bucket and what closes it; the suite works under a prefix of its own and removes what it put there. */
export interface ObjectStoreProvider {
  objects: ObjectStore;
  close(): Promise<void>;
}

const text = { contentType: 'text/plain' };
const bytesOf = (content: string): Uint8Array => Buffer.from(content);
const md5 = (body: Uint8Array) => createHash('md5').update(body).digest();

interface PlainReply {
  status: number;
  eTag: string | null;
  contentType: string | null;
  tagCount: string | null;
  body: Buffer;
}

/** What a pod does: HTTP without any SDK or credentials. */
async function plain(
  method: 'GET' | 'PUT',
  url: string,
  body?: Uint8Array,
  contentMd5?: Buffer,
): Promise<PlainReply> {
  const reply = await fetch(url, {
    method,
    ...(body === undefined ? {} : { body: Buffer.from(body) }),
    headers: contentMd5 === undefined ? {} : { 'content-md5': contentMd5.toString('base64') },
    signal: AbortSignal.timeout(20_000),
  });
  return {
    status: reply.status,
    eTag: reply.headers.get('etag'),
    contentType: reply.headers.get('content-type'),
    tagCount: reply.headers.get('x-amz-tagging-count'),
    body: Buffer.from(await reply.arrayBuffer()),
  };
}

/** What every bucket must answer through the real adapter; the capture's state machine rests on it. */
export function objectStoreContract(name: string, start: () => Promise<ObjectStoreProvider>): void {
  describe(`object store: ${name}`, () => {
    const prefix = `contract/${randomUUID()}/`;
    let provider: ObjectStoreProvider;
    let objects: ObjectStore;

    beforeAll(async () => {
      provider = await start();
      objects = provider.objects;
    });

    afterAll(async () => {
      for (const { objectKey } of await objects.listObjects(prefix, { limit: 1_000 })) {
        await objects.deleteObject(objectKey);
      }
      await provider.close();
    });

    const readText = async (objectKey: string): Promise<string | undefined> => {
      const body = await objects.getObject(objectKey, { maxBytes: 1_000 });
      return body === undefined ? undefined : Buffer.from(body).toString();
    };

    describe('objects', () => {
      it('gives back what was put, with its size and its type', async () => {
        const key = `${prefix}objects/plain.txt`;

        await objects.putObject(key, bytesOf('evidence'), { contentType: 'application/json' });

        expect(await readText(key)).toBe('evidence');
        const head = await objects.headObject(key);
        expect(head?.bytes).toBe(8);
        expect(head?.eTag).toMatch(/^".+"$/);
        const reply = await plain('GET', await objects.presignGet(key, 60));
        expect(reply.contentType).toBe('application/json');
      });

      it('keeps keys apart and whole, whatever characters they have', async () => {
        const keys = [
          "it's (a) b+c & d=e.txt",
          'na!C3!AFve!2E%41.txt',
          'größe-堆-😀.txt',
          '~*;,@$',
        ].map((last) => `${prefix}hostile/${last}`);

        for (const key of keys) await objects.putObject(key, bytesOf(key), text);

        for (const key of keys) {
          expect(await readText(key)).toBe(key);
          const reply = await plain('GET', await objects.presignGet(key, 60));
          expect(reply.body.toString()).toBe(key);
        }
        const listed = await objects.listObjects(`${prefix}hostile/`, { limit: 10 });
        expect(listed.map(({ objectKey }) => objectKey).sort()).toEqual([...keys].sort());
      });

      it('replaces an object that is put again', async () => {
        const key = `${prefix}objects/again.txt`;

        expect(await objects.putObject(key, bytesOf('one'), text)).toBe('written');
        expect(await objects.putObject(key, bytesOf('two'), text)).toBe('written');

        expect(await readText(key)).toBe('two');
      });

      it('writes an object once where nothing may be there before', async () => {
        const key = `${prefix}objects/once.txt`;
        const once = { ...text, ifNoneMatch: true };

        expect(await objects.putObject(key, bytesOf('first'), once)).toBe('written');
        expect(await objects.putObject(key, bytesOf('second'), once)).toBe('exists');

        expect(await readText(key)).toBe('first');
      });

      it('keeps an empty object', async () => {
        const key = `${prefix}objects/empty`;

        await objects.putObject(key, new Uint8Array(), text);

        expect(await readText(key)).toBe('');
        expect((await objects.headObject(key))?.bytes).toBe(0);
        expect(
          await objects.getObject(key, { maxBytes: 10, range: { start: 0, end: -1 } }),
        ).toHaveLength(0);
      });

      it('answers undefined for what is not there', async () => {
        const key = `${prefix}objects/absent`;

        expect(await objects.getObject(key, { maxBytes: 1 })).toBeUndefined();
        expect(
          await objects.getObject(key, { maxBytes: 1, range: { start: 0, end: -1 } }),
        ).toBeUndefined();
        expect(await objects.headObject(key)).toBeUndefined();
      });

      it('tags an object, again and again, and nothing where there is none', async () => {
        const key = `${prefix}objects/tagged.txt`;
        await objects.putObject(key, bytesOf('x'), text);

        await objects.tagObject(key, { key: 'heapcatch-retention', value: '7d' });
        await objects.tagObject(key, { key: 'heapcatch-retention', value: '30d' });
        await objects.tagObject(`${prefix}objects/none`, { key: 'a', value: 'b' });

        const reply = await plain('GET', await objects.presignGet(key, 60));
        expect(reply).toMatchObject({ tagCount: '1', body: bytesOf('x') });
      });

      it('deletes an object, and again', async () => {
        const key = `${prefix}objects/deleted`;
        await objects.putObject(key, bytesOf('x'), text);

        await objects.deleteObject(key);
        await objects.deleteObject(key);

        expect(await objects.headObject(key)).toBeUndefined();
      });

      it('reads ranges, both ends included, cut at the end of the object', async () => {
        const key = `${prefix}objects/range`;
        await objects.putObject(key, bytesOf('0123456789'), text);
        const read = async (rangeStart: number, end: number) => {
          const range = { start: rangeStart, end };
          const body = await objects.getObject(key, { maxBytes: 10, range });
          return Buffer.from(body!).toString();
        };

        expect(await read(2, 4)).toBe('234');
        expect(await read(0, 0)).toBe('0');
        expect(await read(8, 99)).toBe('89');
        expect(await read(10, 12)).toBe('');
        expect(await read(5, 4)).toBe('');
      });

      it('refuses to read more than it may', async () => {
        const key = `${prefix}objects/long`;
        await objects.putObject(key, bytesOf('0123456789'), text);

        const refused = objects.getObject(key, { maxBytes: 9 });

        await expect(refused).rejects.toThrow('has 10 bytes; accepted are at most 9');
        await expect(refused).rejects.toMatchObject({
          code: 'ObjectStoreUnavailable',
          retryable: false,
        });
        expect(await objects.getObject(key, { maxBytes: 10 })).toHaveLength(10);
      });
    });

    describe('lists', () => {
      it('lists the keys of a prefix in the order of their bytes, page after page', async () => {
        const folder = `${prefix}listed/`;
        // By UTF-16 units the emoji would come before U+FFFD.
        const names = ['0001', '0002', 'A', 'a', 'b!', 'é', '\uFFFD', '😀'];
        for (const each of [...names].reverse()) {
          await objects.putObject(`${folder}${each}`, bytesOf(each), text);
        }
        await objects.putObject(`${prefix}listed-beside`, bytesOf('x'), text);

        const seen: string[] = [];
        let startAfter: string | undefined;
        for (;;) {
          const page = await objects.listObjects(folder, {
            limit: 3,
            ...(startAfter === undefined ? {} : { startAfter }),
          });
          expect(page.length).toBeLessThanOrEqual(3);
          seen.push(...page.map(({ objectKey }) => objectKey.slice(folder.length)));
          startAfter = page.at(-1)?.objectKey;
          if (page.length < 3) break;
        }

        expect(seen).toEqual(names);
      });

      it('lists nothing where nothing is, and sizes where something is', async () => {
        await objects.putObject(`${prefix}sized/one`, bytesOf('12345'), text);

        expect(await objects.listObjects(`${prefix}nothing/`, { limit: 1 })).toEqual([]);
        expect(await objects.listObjects(`${prefix}sized/`, { limit: 1_000 })).toEqual([
          { objectKey: `${prefix}sized/one`, bytes: 5 },
        ]);
      });
    });

    describe('multipart uploads', () => {
      const big = randomBytes(minPartBytes);

      const open = async (last: string) => {
        const key = `${prefix}uploads/${last}`;
        return { key, uploadId: await objects.createMultipartUpload(key, 'application/zstd') };
      };
      const put = (
        { key, uploadId }: { key: string; uploadId: string },
        partNumber: number,
        body: Uint8Array,
      ) => objects.uploadPart(key, uploadId, partNumber, body);

      it('makes an object of parts sent by presigned URLs, with gaps in their numbers', async () => {
        const upload = await open('presigned');
        const urls = await objects.presignParts(upload.key, upload.uploadId, 4, 600);
        const tail = bytesOf('tail');

        const first = await plain('PUT', urls[0]!, big, md5(big));
        const last = await plain('PUT', urls[3]!, tail, md5(tail));
        const listed = await objects.listParts(upload.key, upload.uploadId);

        expect([first.status, last.status]).toEqual([200, 200]);
        const expected: StoredPart[] = [
          { partNumber: 1, bytes: minPartBytes, eTag: first.eTag! },
          { partNumber: 4, bytes: 4, eTag: last.eTag! },
        ];
        expect(listed).toEqual(expected);
        expect(await objects.headObject(upload.key)).toBeUndefined();

        const outcome = await objects.completeMultipartUpload(
          upload.key,
          upload.uploadId,
          expected,
        );

        expect(outcome).toBe('completed');
        const head = await objects.headObject(upload.key);
        expect(head?.bytes).toBe(minPartBytes + 4);
        expect(head?.eTag).toMatch(/-2"?$/);
        const across = await objects.getObject(upload.key, {
          maxBytes: 8,
          range: { start: minPartBytes - 4, end: minPartBytes + 3 },
        });
        expect(Buffer.from(across!)).toEqual(Buffer.concat([big.subarray(-4), tail]));
      });

      it('adds a part of its own to those that came by URL', async () => {
        const upload = await open('salvaged');
        const [url] = await objects.presignParts(upload.key, upload.uploadId, 1, 600);
        await plain('PUT', url!, big, md5(big));

        const added = await put(upload, 2, bytesOf('end record'));
        const parts = await objects.listParts(upload.key, upload.uploadId);
        await objects.completeMultipartUpload(upload.key, upload.uploadId, parts!);

        expect(parts?.[1]).toEqual(added);
        expect((await objects.headObject(upload.key))?.bytes).toBe(minPartBytes + 10);
      });

      it('replaces a part that is sent again', async () => {
        const upload = await open('replaced');

        await put(upload, 1, bytesOf('first'));
        const second = await put(upload, 1, bytesOf('second try'));

        expect(await objects.listParts(upload.key, upload.uploadId)).toEqual([second]);
        await objects.abortMultipartUpload(upload.key, upload.uploadId);
      });

      it('refuses a part whose Content-MD5 is of something else, and keeps nothing of it', async () => {
        const upload = await open('bad-digest');
        const [url] = await objects.presignParts(upload.key, upload.uploadId, 1, 600);

        const reply = await plain('PUT', url!, bytesOf('body'), md5(bytesOf('other')));

        expect(reply.status).toBe(400);
        expect(reply.body.toString()).toContain('<Code>BadDigest</Code>');
        expect(await objects.listParts(upload.key, upload.uploadId)).toEqual([]);
        await objects.abortMultipartUpload(upload.key, upload.uploadId);
      });

      it('lists all parts of an upload that has more than a page of them', async () => {
        const upload = await open('many');
        const count = 1_003;
        const body = bytesOf('x');
        for (let from = 1; from <= count; from += 50) {
          const numbers = Array.from(
            { length: Math.min(50, count - from + 1) },
            (_, i) => from + i,
          );
          await Promise.all(numbers.map((partNumber) => put(upload, partNumber, body)));
        }

        const listed = await objects.listParts(upload.key, upload.uploadId);

        expect(listed?.map(({ partNumber }) => partNumber)).toEqual(
          Array.from({ length: count }, (_, index) => index + 1),
        );
        await objects.abortMultipartUpload(upload.key, upload.uploadId);
      }, 120_000);

      it('answers that an upload is no longer there, once it was completed', async () => {
        const upload = await open('completed');
        const parts = [await put(upload, 1, bytesOf('all'))];
        await objects.completeMultipartUpload(upload.key, upload.uploadId, parts);

        const again = await objects.completeMultipartUpload(upload.key, upload.uploadId, parts);

        // S3 answers a repeat like the first time, for a while; others do not. Both leave the object as it is.
        expect(['completed', 'noSuchUpload']).toContain(again);
        expect(await objects.listParts(upload.key, upload.uploadId)).toBeUndefined();
        expect(await readText(upload.key)).toBe('all');
        await objects.abortMultipartUpload(upload.key, upload.uploadId);
        expect(await readText(upload.key)).toBe('all');
      });

      it('answers that an upload is no longer there, once it was aborted', async () => {
        const upload = await open('aborted');
        const [url] = await objects.presignParts(upload.key, upload.uploadId, 1, 600);
        const parts = [await put(upload, 1, bytesOf('all'))];

        await objects.abortMultipartUpload(upload.key, upload.uploadId);
        await objects.abortMultipartUpload(upload.key, upload.uploadId);

        expect(await objects.listParts(upload.key, upload.uploadId)).toBeUndefined();
        expect(await objects.completeMultipartUpload(upload.key, upload.uploadId, parts)).toBe(
          'noSuchUpload',
        );
        const late = await plain('PUT', url!, bytesOf('late'));
        expect(late.status).toBe(404);
        expect(late.body.toString()).toContain('<Code>NoSuchUpload</Code>');
      });

      it.each([
        ['an ETag that no part has', (parts: StoredPart[]) => [{ ...parts[0]!, eTag: '"00"' }]],
        ['a part that was not sent', (parts: StoredPart[]) => [{ ...parts[0]!, partNumber: 9 }]],
        ['parts in another order', (parts: StoredPart[]) => [parts[1]!, parts[0]!]],
        ['a part below the minimum that is not the last', (parts: StoredPart[]) => parts],
      ])('refuses to complete with %s, and keeps the upload', async (_what, choose) => {
        const upload = await open(`refused-${randomUUID()}`);
        const parts = [
          await put(upload, 1, bytesOf('too small')),
          await put(upload, 2, bytesOf('last')),
        ];

        const outcome = objects.completeMultipartUpload(upload.key, upload.uploadId, choose(parts));

        await expect(outcome).rejects.toMatchObject({
          code: 'ObjectStoreUnavailable',
          retryable: false,
        });
        expect(await objects.headObject(upload.key)).toBeUndefined();
        expect(await objects.listParts(upload.key, upload.uploadId)).toHaveLength(2);
        await objects.abortMultipartUpload(upload.key, upload.uploadId);
      });
    });

    describe('presigned URLs', () => {
      it('lets a plain client put and read one object', async () => {
        const key = `${prefix}presigned/object`;
        const body = bytesOf('evidence');

        const reply = await plain('PUT', await objects.presignPut(key, 60), body, md5(body));

        expect(reply.status).toBe(200);
        expect(reply.eTag).not.toBeNull();
        const read = await plain('GET', await objects.presignGet(key, 60));
        expect(read.body.toString()).toBe('evidence');
      });

      it('refuses an object whose Content-MD5 is of something else', async () => {
        const key = `${prefix}presigned/bad-digest`;

        const url = await objects.presignPut(key, 60);
        const reply = await plain('PUT', url, bytesOf('body'), md5(bytesOf('other')));

        expect(reply.status).toBe(400);
        expect(await objects.headObject(key)).toBeUndefined();
      });

      it('is good for nothing but what was signed', async () => {
        const key = `${prefix}presigned/signed`;
        await objects.putObject(key, bytesOf('kept'), text);
        const get = await objects.presignGet(key, 60);
        const put = await objects.presignPut(key, 60);
        const [part] = await objects.presignParts(key, 'upload', 1, 60);
        const x = bytesOf('x');

        const replies = [
          await plain('PUT', get, x),
          await plain('GET', put),
          await plain('PUT', put.replace('presigned/signed', 'presigned/other'), x),
          await plain('PUT', put.replace('X-Amz-Expires=60', 'X-Amz-Expires=600'), x),
          await plain('PUT', part!.replace('partNumber=1', 'partNumber=2'), x),
          await plain('GET', get.split('?')[0]!),
        ];

        expect(replies.map(({ status }) => status)).toEqual([403, 403, 403, 403, 403, 403]);
        expect(await readText(key)).toBe('kept');
      });
    });
  });
}
