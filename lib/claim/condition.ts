/** What an attribute of a claim item can be. */
export type ItemValue = string | number | boolean | readonly number[];

/** One item of the claim table; `pk` is its key. An attribute that is undefined is not stored. */
export interface Item {
  readonly pk: string;
  readonly [attribute: string]: ItemValue | undefined;
}

/** An attribute, or one element of a list attribute. */
export interface Path {
  readonly attribute: string;
  readonly index?: number;
}

/**
 * A condition on one item, as data: lib/aws renders it for DynamoDB, `holds` evaluates it in memory.
 * As in DynamoDB, a comparison with an attribute that is not there is false.
 */
export type Condition =
  | { readonly is: 'absent'; readonly path: Path }
  | { readonly is: 'equal'; readonly path: Path; readonly value: ItemValue }
  | { readonly is: 'atMost' | 'above'; readonly path: Path; readonly value: number }
  | { readonly is: 'all' | 'any'; readonly of: readonly Condition[] };

export const absent = (attribute: string, index?: number): Condition => ({
  is: 'absent',
  path: pathOf(attribute, index),
});
export const equal = (attribute: string, value: ItemValue): Condition => ({
  is: 'equal',
  path: pathOf(attribute),
  value,
});
export const atMost = (attribute: string, value: number, index?: number): Condition => ({
  is: 'atMost',
  path: pathOf(attribute, index),
  value,
});
export const above = (attribute: string, value: number): Condition => ({
  is: 'above',
  path: pathOf(attribute),
  value,
});
export const all = (...of: readonly Condition[]): Condition => ({ is: 'all', of });
export const any = (...of: readonly Condition[]): Condition => ({ is: 'any', of });

function pathOf(attribute: string, index?: number): Path {
  return index === undefined ? { attribute } : { attribute, index };
}

/** Whether a condition holds on an item; `undefined` is an item that is not there. */
export function holds(condition: Condition, item: Item | undefined): boolean {
  switch (condition.is) {
    case 'all':
      return condition.of.every((inner) => holds(inner, item));
    case 'any':
      return condition.of.some((inner) => holds(inner, item));
    case 'absent':
      return valueAt(item, condition.path) === undefined;
    case 'equal':
      return sameValue(valueAt(item, condition.path), condition.value);
    case 'atMost': {
      const value = valueAt(item, condition.path);
      return typeof value === 'number' && value <= condition.value;
    }
    case 'above': {
      const value = valueAt(item, condition.path);
      return typeof value === 'number' && value > condition.value;
    }
  }
}

function valueAt(item: Item | undefined, path: Path): ItemValue | undefined {
  const value = item?.[path.attribute];
  if (path.index === undefined) return value;
  return typeof value === 'object' ? value[path.index] : undefined;
}

function sameValue(left: ItemValue | undefined, right: ItemValue): boolean {
  if (typeof left !== 'object' || typeof right !== 'object') return left === right;
  return left.length === right.length && left.every((value, index) => value === right[index]);
}
