/** A statement of a role, as the template has it. */
export interface Statement {
  Effect: string;
  Action: string | string[];
  Resource: unknown;
  Condition?: unknown;
}

/** What stands for a stack's own part, and what for one that is given. */
const ownParts = new Set(['OwnBucket', 'OwnDataKey', 'OwnBus']);

/** Texts of Fn::Sub, in the words of docs/permissions.md. */
const texts: readonly [RegExp, string][] = [
  [/^\$\{Bucket\}$/, 'DumpBucket'],
  [/^\$\{Bucket\}\/(.+)$/, '`$1`'],
  [/^\$\{ClaimTable\.Arn\}\/index\/(.+)$/, "ClaimTable's index `$1`"],
  [/:log-group:\/aws\/lambda\/heapcatch-dev-[a-z]+:\*$/, 'its log group'],
  [/:parameter(\/heapcatch\/)dev(\/clusters(?:\/\*)?)$/, '`$1<stage>$2`'],
  [/:secret:(heapcatch\/)dev(\/clusters\/\*)$/, '`$1<stage>$2`'],
];

/** Where a statement's actions are allowed, in the words of docs/permissions.md. What it does not know it answers as JSON. */
export function placesOf({ Resource, Condition }: Statement): string[] {
  return (Array.isArray(Resource) ? Resource : [Resource]).flatMap((resource) =>
    placesOfOne(resource, JSON.stringify(Condition ?? {})),
  );
}

function placesOfOne(resource: unknown, condition: string): string[] {
  if (resource === '*') return ['everything'];
  const { Ref, ...functions } = resource as Record<string, unknown>;
  const [name, value] = Object.entries(functions)[0] ?? [];
  const list = value as unknown[];
  if (Ref === 'EncryptionKeyArn') return ['the encryption key, if the stack has one'];
  if (typeof Ref === 'string') return [Ref];
  if (name === 'Fn::GetAtt') return [String(list[0])];
  if (name === 'Fn::If' && ownParts.has(String(list[0]))) return placesOfOne(list[1], condition);
  if (name === 'Fn::If') return list.slice(1).flatMap((one) => placesOfOne(one, condition));
  if (name === 'Fn::Sub') {
    const text = String(Array.isArray(value) ? value[0] : value);
    if (text.endsWith(':key/*')) return [keysBy(condition)];
    for (const [pattern, words] of texts) {
      const found = pattern.exec(text);
      if (found !== null) return [words.replace(/\$(\d)/g, (_all, index) => found[Number(index)]!)];
    }
  }
  return [JSON.stringify(resource)];
}

/** Any key of the account, if it is one of these services that asks for it. */
function keysBy(condition: string): string {
  if (!condition.includes('kms:ViaService')) return 'every key';
  return condition.includes('secretsmanager.')
    ? "by SSM and Secrets Manager only, the keys of the clusters' parameters and secrets"
    : 'by SSM only, the key of the cluster parameters';
}

/** What of a cell of the page is none of the places, and which places it lacks. */
export function differs(
  cell: string,
  places: readonly string[],
): { lacks: string[]; tooMuch: string } {
  let rest = cell;
  const lacks: string[] = [];
  for (const place of [...places].sort((a, b) => b.length - a.length)) {
    if (rest.includes(place)) rest = rest.replace(place, '');
    else lacks.push(place);
  }
  return { lacks, tooMuch: rest.replace(/; and |, |\s/g, '') };
}
