// Edits configuration files of OpenStack (oslo.config's INI) without disturbing the rest: comments, order and unknown
// options stay. It must never reorder or reformat what it does not set.

const SECTION = /^\s*\[([^\]]+)\]\s*$/;
const OPTION = /^([A-Za-z0-9_.-]+)\s*[=:]\s?(.*)$/;

interface Place {
  /** Line of the option, or null. */
  readonly line: number | null;
  /** Lines that continue its value. */
  readonly continued: number;
  /** Where a new option of the section goes; null: there is no such section. */
  readonly insertAt: number | null;
  readonly value: string | null;
}

const isText = (line: string): boolean => line.trim() !== '' && !/^\s*[#;]/.test(line);

function find(lines: readonly string[], section: string, key: string): Place {
  let current = 'DEFAULT';
  let found: Omit<Place, 'insertAt'> = { line: null, continued: 0, value: null };
  let insertAt: number | null = null;
  for (const [index, line] of lines.entries()) {
    const header = SECTION.exec(line);
    if (header !== null) {
      current = header[1] ?? '';
      if (current === section) insertAt = index + 1;
      continue;
    }
    if (current !== section) continue;
    if (isText(line)) insertAt = index + 1;
    const option = OPTION.exec(line);
    // The last of several counts, as it does for oslo.config.
    if (option?.[1] === key) {
      let continued = 0;
      while (/^\s+\S/.test(lines[index + continued + 1] ?? '')) continued++;
      const more = lines.slice(index + 1, index + 1 + continued).map((text) => text.trim());
      found = {
        line: index,
        continued,
        value: [(option[2] ?? '').trim(), ...more].join(' ').trim(),
      };
    }
  }
  return { ...found, insertAt };
}

/** The value of an option, or null where it is not set. */
export function iniValue(text: string, section: string, key: string): string | null {
  return find(text.split('\n'), section, key).value;
}

/** The text with an option set; a section that is missing is added at the end. */
export function setIni(text: string, section: string, key: string, value: string): string {
  const lines = text.split('\n');
  const { line, continued, insertAt, value: present } = find(lines, section, key);
  if (present === value) return text;
  const option = `${key} = ${value}`;
  if (line !== null) lines.splice(line, 1 + continued, option);
  else if (insertAt !== null) lines.splice(insertAt, 0, option);
  else if (section === 'DEFAULT' && !lines.some((entry) => SECTION.test(entry)))
    lines.splice(0, 0, `[DEFAULT]`, option);
  else {
    while (lines.at(-1)?.trim() === '') lines.pop();
    lines.push(...(lines.length > 0 ? [''] : []), `[${section}]`, option, '');
  }
  return lines.join('\n');
}

/** The text with a word added to a list option, after those that are there. */
export function extendIniList(text: string, section: string, key: string, word: string): string {
  const words = (iniValue(text, section, key) ?? '')
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
  return words.includes(word) ? text : setIni(text, section, key, [...words, word].join(','));
}

/** Dollar signs name other options for oslo.config; in a value they are doubled. */
export const iniText = (value: string): string => value.replaceAll('$', '$$$$');
