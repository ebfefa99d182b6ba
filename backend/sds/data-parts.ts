// The parts of a data machine, each of which owns a topic, and how they know each other. It must never decide anything.
//
//   serve, admission, intake, write-path, edges, flushes, repair   requests of clients at the primary
//   stability, forward, member-io, peer-reads  a change reaches its copies and is acknowledged
//   membership, peering, known-ops, leases     entries, who goes by which, who may serve
//   resync, copier                             content for copies that lack it
//   settling                                   what need not be compared after a crash
//   cuts                                       group snapshots: one moment for many volumes
//   merging                                    layers that their child takes over
//   scanner, scan-repairs, scan-answers        what lies on the device is verified and compared in the background
//   leftovers                                  chunks of combs that are carried no more
//   changes, mdm-link, peer-links              the MDM and the other data processes

import type { Micros } from '../core/ports.js';
import { Changes } from './changes.js';
import { CopyLimits } from './copy-limits.js';
import { Cuts } from './cuts.js';
import { Forward } from './forward.js';
import { Leases } from './leases.js';
import { Leftovers } from './leftovers.js';
import { MdmLink } from './mdm-link.js';
import { MemberIo } from './member-io.js';
import { Membership } from './membership.js';
import { PeerLinks } from './peer-links.js';
import { PeerReads } from './peer-reads.js';
import { Peering } from './peering.js';
import { Resync } from './resync.js';
import { ScanAnswers } from './scan-answers.js';
import { Scanner } from './scanner.js';
import { Serve } from './serve.js';
import { Settling } from './settling.js';
import type { Shared } from './shared.js';
import { Stability } from './stability.js';

export class DataParts {
  readonly stability: Stability;
  readonly serve: Serve;
  readonly memberIo: MemberIo;
  readonly peerReads: PeerReads;
  readonly membership: Membership;
  readonly peering: Peering;
  readonly resync: Resync;
  readonly settling: Settling;
  readonly leases: Leases;
  readonly mdmLink: MdmLink;
  readonly changes: Changes;
  readonly leftovers: Leftovers;
  readonly peerLinks: PeerLinks;
  readonly cuts: Cuts;
  readonly scanner: Scanner;
  readonly scanAnswers: ScanAnswers;

  constructor(shared: Shared) {
    const stability = new Stability(shared);
    const serve = new Serve(shared, stability);
    const { merging } = serve;
    const changed = (layerKey: number, chunkIndex: number): void => {
      merging.changed(layerKey, chunkIndex);
    };
    const limits = new CopyLimits(shared);
    const memberIo = new MemberIo(shared, limits, changed);
    const peerReads = new PeerReads(shared, (peer, view, at, extent) =>
      memberIo.accept(peer, view, at, extent),
    );
    const membership = new Membership(shared);
    const peering = new Peering(shared, stability);
    const resync = new Resync(shared, limits);
    const settling = new Settling(shared);
    const leases = new Leases(shared);
    const mdmLink = new MdmLink(shared);
    const changes = new Changes(shared, mdmLink.client);
    const leftovers = new Leftovers(shared, mdmLink.client);
    const scanner = new Scanner(shared, { copier: resync.copier, changed });
    const scanAnswers = new ScanAnswers(shared);
    const peerLinks = new PeerLinks(shared, {
      ...{ serve, stability, memberIo, peerReads, peering, resync, settling, leases },
      ...{ scanner, scanAnswers },
    });
    const forward = new Forward(shared);
    shared.wire({
      ...{ serve, stability, forward, peering, resync, membership, settling, changes },
      ...{ leases, leftovers },
    });
    const cuts = new Cuts(shared, mdmLink.client, () => {
      serve.mayResume();
    });
    mdmLink.wire(
      { membership, peerLinks, peering, resync, leftovers, merging, cuts, scanner },
      changes,
    );
    this.stability = stability;
    this.serve = serve;
    this.memberIo = memberIo;
    this.peerReads = peerReads;
    this.membership = membership;
    this.peering = peering;
    this.resync = resync;
    this.settling = settling;
    this.leases = leases;
    this.mdmLink = mdmLink;
    this.changes = changes;
    this.leftovers = leftovers;
    this.peerLinks = peerLinks;
    this.cuts = cuts;
    this.scanner = scanner;
    this.scanAnswers = scanAnswers;
  }

  tick(nowUs: Micros): void {
    this.mdmLink.client.tick(nowUs);
    this.peerLinks.tick(nowUs);
    this.leases.tick(nowUs);
    this.peering.tick(nowUs);
    this.resync.tick(nowUs);
    this.settling.tick(nowUs);
    this.changes.tick(nowUs);
    this.leftovers.tick(nowUs);
    this.serve.tick(nowUs);
    this.cuts.tick(nowUs);
    this.scanner.tick(nowUs);
  }

  nextDeadlineUs(): Micros {
    return Math.min(
      this.mdmLink.client.nextDeadlineUs(),
      this.peerLinks.nextDeadlineUs(),
      this.leases.nextDeadlineUs(),
      this.peering.nextDeadlineUs(),
      this.resync.nextDeadlineUs(),
      this.settling.nextDeadlineUs(),
      this.changes.nextDeadlineUs(),
      this.leftovers.nextDeadlineUs(),
      this.serve.nextDeadlineUs(),
      this.serve.merging.nextDeadlineUs(),
      this.cuts.nextDeadlineUs(),
      this.scanner.nextDeadlineUs(),
    );
  }
}
