import { S3Fault } from './s3-fault.ts';

const header = '<?xml version="1.0" encoding="UTF-8"?>\n';
const namespace = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"';

function escaped(value: string | number | boolean): string {
  return String(value).replace(/[&<>"\r]/g, (character) => `&#${character.codePointAt(0) ?? 0};`);
}

export type Fields = readonly (readonly [name: string, value: string | number | boolean])[];

function elements(fields: Fields): string {
  return fields.map(([name, value]) => `<${name}>${escaped(value)}</${name}>`).join('');
}

export function errorXml(fault: { code: string; message: string }, resource: string): string {
  const fields = elements([
    ['Code', fault.code],
    ['Message', fault.message],
    ['Resource', resource],
    ['RequestId', '0000000000000000'],
  ]);
  return `${header}<Error>${fields}</Error>`;
}

/** A result of S3: its own fields, then a list of equal elements. */
export function resultXml(
  root: string,
  fields: Fields,
  list: { name: string; items: readonly Fields[] } = { name: '', items: [] },
): string {
  const items = list.items.map((item) => `<${list.name}>${elements(item)}</${list.name}>`);
  return `${header}<${root} ${namespace}>${elements(fields)}${items.join('')}</${root}>`;
}

/** 10,000 parts of some 110 bytes each, and room for white space. */
export const maxCompleteBodyBytes = 2 * 1024 * 1024;

/** The parts that CompleteMultipartUpload lists, in the order in which it does. */
export function parseCompleteBody(text: string): { partNumber: number; eTag: string }[] {
  if (!/<CompleteMultipartUpload[\s>]/.test(text)) throw malformed();
  const parts = [...text.matchAll(/<Part>([^]*?)<\/Part>/g)].map(([, part = '']) => {
    const partNumber = /<PartNumber>\s*([0-9]{1,5})\s*<\/PartNumber>/.exec(part)?.[1];
    const eTag = /<ETag>([^<]{1,100})<\/ETag>/.exec(part)?.[1];
    if (partNumber === undefined || eTag === undefined) throw malformed();
    return { partNumber: Number(partNumber), eTag: plainETag(unescaped(eTag)) };
  });
  if (parts.length === 0) throw malformed();
  return parts;
}

/** Ten tags of at most 128 and 256 characters, and room for white space. */
export const maxTaggingBodyBytes = 16 * 1024;

/** The tags that PutObjectTagging names, in letters that need no escapes. */
export function parseTaggingBody(text: string): Record<string, string> {
  if (!/<Tagging[\s>]/.test(text)) throw malformed();
  const tags = [...text.matchAll(/<Tag>([^]*?)<\/Tag>/g)].map(([, tag = '']) => {
    const key = /<Key>([\w .:/=+@-]{1,128})<\/Key>/.exec(tag)?.[1];
    const value = /<Value>([\w .:/=+@-]{0,256})<\/Value>/.exec(tag)?.[1];
    if (key === undefined || value === undefined) throw malformed();
    return [key, value] as const;
  });
  return Object.fromEntries(tags);
}

function unescaped(text: string): string {
  return text.replace(/&(?:quot|#34|#x22);/gi, '"').replaceAll('&amp;', '&');
}

/** S3 takes an ETag with its quotes and without. */
function plainETag(eTag: string): string {
  return eTag.trim().replaceAll('"', '');
}

function malformed(): S3Fault {
  const message =
    'The XML you provided was not well-formed or did not validate against our published schema';
  return new S3Fault(400, 'MalformedXML', message);
}
