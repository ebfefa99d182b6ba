// Commands about the metadata as a whole: backup, comparison with the devices, and what only restored metadata is asked. They
// must never change anything.

import { assert } from '../../core/assert.js';
import { refuse } from '../refusal.js';
import type { Handlers } from './context.js';

export const METADATA_COMMANDS: Handlers<'BACKUP_METADATA' | 'CHECK_METADATA' | 'CONFIRM_RESTORE'> =
  {
    BACKUP_METADATA({ backup }, { sequence, from }) {
      return backup(sequence, from);
    },

    CHECK_METADATA({ checked }) {
      assert(checked !== null, 'the comparison came before the command');
      return checked;
    },

    CONFIRM_RESTORE() {
      return refuse('INVALID_PARAMETER', 'no restored metadata waits to be confirmed');
    },
  };
