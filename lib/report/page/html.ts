/** Markup that is safe to stand in a page; only `html` and `markup` make it. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Value = string | number | Html | readonly Html[] | undefined | false;

/**
 * Builds markup. Whatever is put in is escaped, unless `html` made it; absent values leave nothing. The indentation of
 * the template is left out.
 */
export function html(strings: TemplateStringsArray, ...values: readonly Value[]): Html {
  let text = withoutIndent(strings[0]);
  for (const [index, value] of values.entries()) {
    text += markupOf(value) + withoutIndent(strings[index + 1]);
  }
  return new Html(text);
}

function withoutIndent(markup = ''): string {
  return markup.replace(/\n */g, '\n');
}

function markupOf(value: Value): string {
  if (value === undefined || value === false) return '';
  if (value instanceof Html) return value.text;
  if (typeof value === 'object') return value.map(({ text }) => text).join('');
  return escaped(String(value));
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  '`': '&#96;',
};

/**
 * Text as it may stand between tags and in quoted attributes. Characters that cannot be seen, or that turn the direction of
 * what follows, are shown by their number: a class may be called anything.
 */
export function escaped(text: string): string {
  return text
    .replace(
      /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
      (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
    )
    .replace(/[&<>"'`]/g, (character) => entities[character] ?? '');
}
