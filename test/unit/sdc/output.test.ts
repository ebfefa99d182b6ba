// What a client that reads deep and in large pieces relies on: replies are built in memory that is there already.

import test from 'ava';
import { Output } from '../../../backend/sdc/nbd/output.js';

const REPLY_BYTES = 20 + 1048576;

test('replies are built in the same memory again and again, while others are on their way', (t) => {
  const out = new Output();
  const used = new Set<ArrayBufferLike>();
  for (let batch = 0; batch < 40; batch++) {
    const replies = 1 + (batch % 8);
    for (let reply = 0; reply < replies; reply++) {
      const at = out.reserve(REPLY_BYTES);
      out.u32(at, batch * 100 + reply);
    }
    // The batch before is with the socket until now.
    if (batch > 0) out.giveBack();
    const content = out.take();
    t.is(content.length, replies * REPLY_BYTES);
    const view = new DataView(content.buffer, content.byteOffset);
    for (let reply = 0; reply < replies; reply++)
      t.is(view.getUint32(reply * REPLY_BYTES), batch * 100 + reply);
    if (batch >= 16) used.add(content.buffer);
  }
  t.true(used.size <= 2, `${used.size} pieces of memory in 24 batches`);
});

test('a reply that the socket takes at once leaves its memory to the next one', (t) => {
  const out = new Output();
  const used = new Set<ArrayBufferLike>();
  for (let batch = 0; batch < 4; batch++) {
    out.reserve(REPLY_BYTES);
    used.add(out.take().buffer);
    out.giveBack();
  }
  t.is(used.size, 1);
});
