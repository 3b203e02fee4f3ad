/** Packs counters as HotSpot does: perfMemory.hpp of OpenJDK, data format 2.0. */
export function perfData(
  counters: Iterable<readonly [string, number | string]>,
  options: { littleEndian?: boolean; version?: number; accessible?: boolean } = {},
): Uint8Array {
  const { littleEndian = true, version = 2, accessible = true } = options;
  const entries = [...counters].map(([name, value]) => entry(name, value, littleEndian));
  const prologue = new Uint8Array(32);
  const view = new DataView(prologue.buffer);
  view.setUint32(0, 0xcafec0c0);
  prologue.set([littleEndian ? 1 : 0, version, 0, accessible ? 1 : 0], 4);
  view.setUint32(24, prologue.length, littleEndian);
  view.setUint32(28, entries.length, littleEndian);
  return Buffer.concat([prologue, ...entries]);
}

function entry(name: string, value: number | string, littleEndian: boolean): Uint8Array {
  const nameBytes = new TextEncoder().encode(`${name}\0`);
  const dataAt = Math.ceil((20 + nameBytes.length) / 8) * 8;
  const text = typeof value === 'string' ? new TextEncoder().encode(`${value}\0`) : undefined;
  const bytes = new Uint8Array(Math.ceil((dataAt + (text?.length ?? 8)) / 8) * 8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, littleEndian);
  view.setUint32(4, 20, littleEndian);
  view.setUint32(8, text?.length ?? 0, littleEndian);
  view.setUint8(12, (text ? 'B' : 'J').charCodeAt(0));
  view.setUint32(16, dataAt, littleEndian);
  bytes.set(nameBytes, 20);
  if (text) bytes.set(text, dataAt);
  else view.setBigInt64(dataAt, BigInt(value), littleEndian);
  return bytes;
}
