// Words as a shell reads them: what an operator copies from a terminal must be what was meant, whatever a path is called.

/** Text that no shell reads as anything else. */
const PLAIN = /^[\w@%+=:,./-]+$/;

/** A text as one word of a shell. */
export const shellWord = (text: string): string =>
  PLAIN.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;

/** A path in the query of an nbd+unix URI, safe within single quotes too. */
export const uriPath = (path: string): string =>
  path
    .split('/')
    .map((part) => encodeURIComponent(part).replaceAll("'", '%27'))
    .join('/');
