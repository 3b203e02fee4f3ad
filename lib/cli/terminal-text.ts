/**
 * What a terminal or a reader's eye would take for something other than text: control characters (C0, C1, DEL), the ones that
 * turn the direction of writing, and line separators.
 */
const unprintable = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** Text of any origin as a terminal may show it: what it would obey becomes `·`. Line feeds stay. */
export function terminalText(text: string): string {
  return text.replaceAll(unprintable, (character) => (character === '\n' ? character : '·'));
}

/** The same of text that is to stay on its line. */
export function lineText(text: string): string {
  return text.replaceAll(unprintable, '·');
}

/** JSON that is harmless on a terminal too: what is not printable stands there by its number, which a parser reads back. */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replaceAll(unprintable, (character) =>
    character === '\n' ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
