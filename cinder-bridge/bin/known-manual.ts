// Prints the manual page of meshsan-cinder-known, which is written in Python and runs where Cinder is. A test compares its
// flags with the program's.

import { VERSION } from '../../backend/core/version.js';
import { manPage } from '../../backend/runtime/manual.js';

process.stdout.write(
  manPage(
    {
      name: 'meshsan-cinder-known',
      section: 8,
      summary: 'prints what Cinder knows of the volumes of a back-end',
      synopsis: ['meshsan-cinder-known --backend HOST@BACKEND [--config-file FILE]'],
      description: [
        "Reads Cinder's database and prints volumes, attachments and snapshots of a back-end as JSON, for the commands orphans and repair of cinder-bridge.",
      ],
      parts: [
        {
          title: 'Flags',
          rows: [
            { term: '--backend HOST@BACKEND', about: 'as openstack volume service list shows it' },
            {
              term: '--config-file FILE',
              about: 'configuration of cinder-volume (/etc/cinder/cinder.conf); may be repeated',
            },
            { term: '--help', about: 'a short text' },
          ],
        },
      ],
      seeAlso: ['cinder-bridge(8)'],
    },
    VERSION,
  ),
);
