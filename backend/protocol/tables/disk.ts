// THE table of structures on devices: fixed layouts with one offset per field, from which accessors and documentation
// are generated. Numbers and offsets are never reused; a changed layout is a new format version. It must never hold
// behaviour.

import type { FixedRow } from './fields.js';

export const DISK = {} as const satisfies Record<string, FixedRow>;
