import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import type { Condition, Item, ItemValue, Path } from '../claim/condition.ts';

export interface ConditionExpression {
  ConditionExpression: string;
  ExpressionAttributeNames: Record<string, string>;
  ExpressionAttributeValues?: Record<string, AttributeValue>;
}

/** A condition as DynamoDB takes it. Every name is a placeholder, so none can be a reserved word. */
export function toConditionExpression(condition: Condition): ConditionExpression {
  const names: Record<string, string> = {};
  const values: Record<string, AttributeValue> = {};
  const path = ({ attribute, index }: Path): string => {
    names[`#${attribute}`] = attribute;
    return index === undefined ? `#${attribute}` : `#${attribute}[${index}]`;
  };
  const value = (of: ItemValue): string => {
    const name = `:v${Object.keys(values).length}`;
    values[name] = toAttributeValue(of);
    return name;
  };
  const render = (part: Condition): string => {
    switch (part.is) {
      case 'absent':
        return `attribute_not_exists(${path(part.path)})`;
      case 'equal':
        return `${path(part.path)} = ${value(part.value)}`;
      case 'atMost':
        return `${path(part.path)} <= ${value(part.value)}`;
      case 'above':
        return `${path(part.path)} > ${value(part.value)}`;
      case 'all':
        return `(${part.of.map(render).join(' AND ')})`;
      case 'any':
        return `(${part.of.map(render).join(' OR ')})`;
    }
  };
  const expression = render(condition);
  return {
    ConditionExpression: expression,
    ExpressionAttributeNames: names,
    // DynamoDB refuses an empty map.
    ...(Object.keys(values).length === 0 ? {} : { ExpressionAttributeValues: values }),
  };
}

function toAttributeValue(value: ItemValue): AttributeValue {
  if (typeof value === 'string') return { S: value };
  if (typeof value === 'number') return { N: String(value) };
  if (typeof value === 'boolean') return { BOOL: value };
  return { L: value.map((element) => ({ N: String(element) })) };
}

/** An item as DynamoDB stores it; undefined attributes are left out. */
export function toAttributes(item: Item): Record<string, AttributeValue> {
  return Object.fromEntries(
    Object.entries(item).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, toAttributeValue(value)]],
    ),
  );
}

/** An item as it was stored. Attributes of kinds that claims never write are left out. */
export function fromAttributes(attributes: Readonly<Record<string, AttributeValue>>): Item {
  const entries = Object.entries(attributes).map(([name, value]) => [name, fromAttribute(value)]);
  return { ...(Object.fromEntries(entries) as Item), pk: attributes['pk']?.S ?? '' };
}

function fromAttribute(value: AttributeValue): ItemValue | undefined {
  if (value.L !== undefined) return value.L.map((element) => Number(element.N));
  if (value.N !== undefined) return Number(value.N);
  return value.S ?? value.BOOL;
}
