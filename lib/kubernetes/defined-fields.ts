type Optional<T> = {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};
type Required<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] };

/** The same object without the fields that are undefined, as `exactOptionalPropertyTypes` asks for. */
export function definedFields<T extends object>(object: T): Optional<T> & Required<T> {
  return Object.fromEntries(
    Object.entries(object).filter(([, value]) => value !== undefined),
  ) as Optional<T> & Required<T>;
}
