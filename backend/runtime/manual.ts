// The manual of a program as a table, and its two forms: the text of `--help` and the page that `man` shows (`--man`). It
// must never know a program.

/** A term and what it means, as in a list of options. */
export interface ManualRow {
  readonly term: string;
  readonly about: string;
}

export interface Manual {
  readonly name: string;
  /** Of the pages: 1 commands, 8 administration. */
  readonly section: 1 | 8;
  /** One line, without the name. */
  readonly summary: string;
  readonly synopsis: readonly string[];
  readonly description: readonly string[];
  /** Parts such as Commands, Options, Files, Exit codes. */
  readonly parts: readonly { readonly title: string; readonly rows: readonly ManualRow[] }[];
  /** Other pages, as in "scli(1)". */
  readonly seeAlso: readonly string[];
}

const TERM_COLUMNS = 30;
const WIDTH = 110;

/** A paragraph in lines of at most WIDTH columns, all but the first indented. */
function wrapped(text: string, indent: number): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent + line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].join(`\n${' '.repeat(indent)}`);
}

function helpRow({ term, about }: ManualRow): string {
  const indent = TERM_COLUMNS + 3;
  const head = `  ${term.padEnd(TERM_COLUMNS)} `;
  const text = wrapped(about, indent);
  return term.length <= TERM_COLUMNS ? `${head}${text}` : `  ${term}\n${' '.repeat(indent)}${text}`;
}

/** The text of `--help`. */
export function helpText({ synopsis, description, parts }: Manual): string {
  const use = synopsis.map((line, index) => `${index === 0 ? 'Usage: ' : '       '}${line}`);
  const sections = parts.map(({ title, rows }) => [`${title}:`, ...rows.map(helpRow)].join('\n'));
  const about = description.map((text) => wrapped(text, 0));
  return [use.join('\n'), ...about, ...sections].join('\n\n') + '\n';
}

/** Text of a page: nothing in it is a request or an escape of the formatter, and hyphens of options stay hyphens. */
function roff(text: string): string {
  const escaped = text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll("'", '\\(aq');
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}

/** The page of `man`. */
export function manPage(manual: Manual, version: string): string {
  const { name, section, summary, synopsis, description, parts, seeAlso } = manual;
  const head = `.TH ${roff(name.toUpperCase())} ${section} "" "MeshSAN ${version}" "MeshSAN"`;
  const lines = [
    ...[head, '.nh', '.SH NAME', `${roff(name)} \\- ${roff(summary)}`, '.SH SYNOPSIS', '.nf'],
    ...synopsis.map(roff),
    ...['.fi', '.SH DESCRIPTION'],
    ...description.flatMap((text, index) => [...(index === 0 ? [] : ['.PP']), roff(text)]),
    ...parts.flatMap(({ title, rows }) => [
      `.SH ${roff(title.toUpperCase())}`,
      ...rows.flatMap(({ term, about }) => ['.TP', `.B ${roff(term)}`, roff(about)]),
    ]),
    ...(seeAlso.length === 0 ? [] : ['.SH SEE ALSO', roff(seeAlso.join(', '))]),
  ];
  return `${lines.join('\n')}\n`;
}

/** What a program answers to `--help` or `--man` as its first argument; null: something else is wanted. */
export function manualAnswer(
  [first]: readonly string[],
  manual: Manual,
  version: string,
): string | null {
  if (first === '--help' || first === '-h') return helpText(manual);
  return first === '--man' ? manPage(manual, version) : null;
}
