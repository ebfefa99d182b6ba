// Which compiled files a program needs: follows its imports. Packages hold exactly these, so that neither tests nor build
// tools reach a node. It must never run the code that it reads.

import { existsSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, normalize } from 'node:path';

/** Imports and re-exports, in the form in which the compiler writes them. */
const IMPORTS = [
  /^\s*(?:import|export)\s[^'";]*?\sfrom\s*['"]([^'"]+)['"]/gm,
  /^\s*import\s*['"]([^'"]+)['"]/gm,
  /\bimport\(\s*['"]([^'"]+)['"]\s*\)/g,
];

/** What a program needs. */
export interface Closure {
  /** Compiled files, relative to the output folder. */
  readonly files: ReadonlySet<string>;
  /** Names of libraries. */
  readonly libraries: ReadonlySet<string>;
}

/** Modules that a file imports, as it names them. */
export function importsOf(source: string): string[] {
  return IMPORTS.flatMap((pattern) => [...source.matchAll(pattern)].map((match) => match[1] ?? ''));
}

/** "a" of "a/b", "@a/b" of "@a/b/c". */
function libraryOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

/**
 * Follows the imports of some programs.
 * @param output - folder of the compiled files
 * @param entries - relative to it
 * @throws Error when a file is missing
 */
export function closureOf(output: string, entries: readonly string[]): Closure {
  const files = new Set<string>();
  const libraries = new Set<string>();
  const open = [...entries];
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    if (files.has(file)) continue;
    files.add(file);
    if (!file.endsWith('.js')) continue;
    for (const specifier of importsOf(readFileSync(join(output, file), 'utf8'))) {
      if (specifier.startsWith('.')) open.push(normalize(join(dirname(file), specifier)));
      else if (!isBuiltin(specifier)) libraries.add(libraryOf(specifier));
    }
  }
  return { files, libraries };
}

/** What a library needs at run time, as its package.json says. */
interface LibraryFacts {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

/** Names that a library asks for; those that are not installed are optional, or of another platform. */
function needsOf(folder: string): string[] {
  const facts = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as LibraryFacts;
  return [facts.dependencies, facts.optionalDependencies, facts.peerDependencies].flatMap((names) =>
    Object.keys(names ?? {}),
  );
}

/**
 * Libraries and everything that they need in turn.
 * @param modules - folder of the installed libraries
 * @param wanted - names
 * @returns folders relative to it; a library that lies inside another's folder goes with that one
 * @throws Error when a wanted library is not installed
 */
export function librariesOf(modules: string, wanted: Iterable<string>): Set<string> {
  const found = new Set<string>();
  const open = [...wanted];
  for (const name of open)
    if (!existsSync(join(modules, name)))
      throw new Error(`${name} is imported, and is no dependency for production`);
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (found.has(name) || !existsSync(join(modules, name))) continue;
    found.add(name);
    open.push(...nestedNeeds(join(modules, name)));
  }
  return found;
}

/** What a library and those inside its folder need from outside of it. */
function nestedNeeds(folder: string): string[] {
  const inner = join(folder, 'node_modules');
  return needsOf(folder).flatMap((name) =>
    existsSync(join(inner, name)) ? nestedNeeds(join(inner, name)) : [name],
  );
}

/**
 * Gives every file to the package that needs it; what several need, and what the shared package needs, goes to that one.
 * @param needed - files by name of package
 * @param shared - name of the package on which all others depend
 */
export function divide(
  needed: ReadonlyMap<string, ReadonlySet<string>>,
  shared: string,
): Map<string, string[]> {
  const owner = new Map<string, string>();
  for (const [name, files] of needed)
    for (const file of files) {
      const other = owner.get(file);
      owner.set(file, other === undefined || other === name ? name : shared);
    }
  const divided = new Map<string, string[]>([...needed.keys()].map((name) => [name, []]));
  for (const [file, name] of [...owner].sort(([a], [b]) => (a < b ? -1 : 1)))
    divided.get(name)?.push(file);
  return divided;
}
