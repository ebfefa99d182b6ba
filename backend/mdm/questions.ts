// Questions to the MDM. It owns that an answer shows committed state only; it must never change anything.

import type { LinkId, Micros } from '../core/ports.js';
import type { ControlMessage } from '../protocol/control.js';
import { ERR, MSG } from '../protocol/generated/constants.js';
import type { Engine } from './engine.js';
import type { Queries } from './queries.js';
import type { Sessions } from './sessions.js';

type Question = Extract<
  ControlMessage,
  {
    readonly code:
      typeof MSG.COMB_QUERY | typeof MSG.QUERY | typeof MSG.STATUS_QUERY | typeof MSG.CLUSTER_QUERY;
  }
>;

export class Questions {
  private readonly engine: Engine;
  private readonly sessions: Sessions;
  private readonly queries: () => Queries;

  constructor(engine: Engine, sessions: Sessions, queries: () => Queries) {
    this.engine = engine;
    this.sessions = sessions;
    this.queries = queries;
  }

  /** The answer waits for the commit in flight. */
  ask(nowUs: Micros, link: LinkId, tag: number, question: Question): void {
    const { engine, sessions } = this;
    engine.run(
      nowUs,
      () => {
        engine.after((at) => {
          const refused = engine.judge(() => {
            this.answer(at, link, tag, question);
          });
          if (refused !== null) sessions.refuse(link, tag, refused.status, refused.details);
        });
      },
      () => {
        sessions.refuse(link, tag, ERR.STORE_FULL);
      },
    );
  }

  private answer(nowUs: Micros, link: LinkId, tag: number, question: Question): void {
    const { sessions } = this;
    const queries = this.queries();
    switch (question.code) {
      case MSG.COMB_QUERY: {
        const entries = queries.entries(question.body);
        sessions.send(link, MSG.COMB_QUERY_REPLY, tag, { entries });
        return;
      }
      case MSG.QUERY:
        sessions.send(link, MSG.QUERY_REPLY, tag, queries.query(question.body));
        return;
      case MSG.STATUS_QUERY:
        sessions.send(link, MSG.STATUS_QUERY_REPLY, tag, queries.status(nowUs, question.body));
        return;
      case MSG.CLUSTER_QUERY:
        sessions.send(link, MSG.CLUSTER_QUERY_REPLY, tag, queries.cluster(nowUs));
    }
  }
}
