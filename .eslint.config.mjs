// Lint rules. The bans below keep the decision-making layers (core, protocol, cluster-map, mdm-client, mdm, sds, sdc,
// lia, sentinel) free of I/O, clocks, randomness and promises, so that the simulator can replay them from a seed.
import tseslint from 'typescript-eslint';

const sansIo = [
  'core',
  'protocol',
  'cluster-map',
  'mdm-client',
  'mdm',
  'sds',
  'sdc',
  'lia',
  'sentinel',
].map((layer) => `backend/${layer}/**/*.ts`);

export default tseslint.config(
  // Configuration of tools is no part of the TypeScript project, whose types the rules need.
  { ignores: ['dist/**', 'node_modules/**', '**/generated/**', '.*.mjs', '.*.cjs'] },
  ...tseslint.configs.strictTypeChecked,
  ...tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/no-unnecessary-condition': [
        'error',
        { allowConstantLoopConditions: true },
      ],
      'no-empty': ['error', { allowEmptyCatch: false }],
      'max-lines-per-function': ['error', { max: 70, skipBlankLines: true, skipComments: true }],
      'max-depth': ['error', 4],
      complexity: ['error', 20],
      'no-restricted-syntax': [
        'error',
        { selector: 'TSEnumDeclaration', message: 'Use a const object.' },
        { selector: 'ExportDefaultDeclaration', message: 'Use a named export.' },
      ],
    },
  },
  {
    files: sansIo,
    ignores: ['backend/protocol/generator/**'],
    rules: {
      'no-restricted-globals': [
        'error',
        ...[
          'Date',
          'setTimeout',
          'setInterval',
          'setImmediate',
          'queueMicrotask',
          'performance',
          'process',
          'crypto',
          'Promise',
          'WeakRef',
          'FinalizationRegistry',
          'Intl',
          'console',
        ].map((name) => ({ name, message: 'Decide in machines, act in shells.' })),
      ],
      'no-restricted-properties': [
        'error',
        {
          object: 'Math',
          property: 'random',
          message: 'Randomness comes from the Prng given at construction.',
        },
        { property: 'localeCompare', message: 'Locale-dependent; compare code units.' },
      ],
      'no-restricted-syntax': [
        'error',
        { selector: 'TSEnumDeclaration', message: 'Use a const object.' },
        { selector: 'ExportDefaultDeclaration', message: 'Use a named export.' },
        { selector: ':function[async=true]', message: 'No promises in the sans-IO layers.' },
        { selector: 'AwaitExpression', message: 'No promises in the sans-IO layers.' },
      ],
    },
  },
  {
    files: ['test/**/*.ts', 'backend/**/tables/**/*.ts'],
    rules: { 'max-lines-per-function': 'off', complexity: 'off' },
  },
);
