/** What can be loaded late: every method answers a promise. */
type Methods<T> = { [Name in keyof T]: (...args: never[]) => Promise<unknown> };

/** A port whose adapter, and the client behind it, loads with the first call: what an invocation does not need costs it nothing. */
export function lazyPort<T extends Methods<T>>(load: () => Promise<T>): T {
  let loaded: Promise<T> | undefined;
  return new Proxy({} as T, {
    get:
      (_target, name) =>
      async (...args: never[]): Promise<unknown> => {
        const port = await (loaded ??= load());
        return port[name as keyof T](...args);
      },
  });
}
