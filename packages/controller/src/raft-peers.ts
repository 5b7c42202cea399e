/**
 * The streams that carry Raft messages between members: a `RaftLine` to each, opened when there is something to say and
 * kept, and those that the others open. Owned by `RaftRunner`. Messages may be lost: Raft repeats what matters.
 *
 * N1. Nothing is said to a directory before it has said who it is: a message for a member never reaches another
 *     directory under the same node id (P9).
 * N2. What is remembered of a member (highest term, highest committed index that it acknowledged, or stated with what it
 *     sent: a leader acknowledges nothing) is told to it when it says hello: one that knows less than it once promised is
 *     a copy rolled back in time.
 * N3. A member that neither the membership nor the configuration names is answered where its hello said: before it has
 *     the metadata log it cannot register, and metadata knows an address of registered nodes alone. Addresses of 1,000
 *     such members are kept.
 * N4. A member whose stream stood and was closed is gone when its machine refuses another or does not answer: the end of
 *     a process, of its container, or of its machine in order. Who falls silent without closing is not: it may live.
 * N5. What waits for a member that does not read is bounded: beyond that messages are dropped.
 * N6. A member is the process that answers at its address. What another process says under the same name, from a copy of
 *     the directory, is not heard, and it is told so: else one member could vote twice in a term. Messages wait until the
 *     address was asked, 8 MiB of a stream at most. A request to observe is heard without: it promises nothing.
 */
import { isNodeNumber, parseAddress, SluiceError } from '@sluice/base';
import type { NodeId } from '@sluice/base';
import type { MemberId, RaftMessage } from '@sluice/raft';
import { identityMessage, methods, peerRefusal } from '@sluice/wire';
import type {
  Dispatcher,
  Identity,
  PeerSelf,
  RaftRequest,
  RaftResponse,
  StreamReceiver,
  StreamSender,
} from '@sluice/wire';
import { memberOf, parseMember } from './members.ts';
import type { Member } from './members.ts';
import { decodeRaftMessage } from './raft-codec.ts';
import { RaftLine } from './raft-line.ts';
import type { LineContext, Remembered } from './raft-line.ts';

export type { Remembered } from './raft-line.ts';

export interface AddressBook {
  /** As the membership and this node's configuration say. When there are any, no others count (N6). */
  readonly given: readonly string[];
  /** As the metadata and other nodes say, the likeliest first. */
  readonly heard: readonly string[];
}

/** What a process said of itself in its hello, besides who it is. */
export interface Announced {
  readonly incarnation: string;
  readonly address: string;
  readonly isController: boolean;
  readonly votesRevoked: boolean;
}

export interface RaftPeersOptions extends LineContext {
  /** What configuration and metadata know; N3 for who is in neither. */
  readonly addressesOf: (member: MemberId) => AddressBook;
  /** What the metadata and this member's Raft know of a member. */
  readonly remembered: (member: MemberId) => Remembered;
  readonly onMessage: (from: MemberId, message: RaftMessage) => void;
  /** N4 */
  readonly onGone: (member: MemberId) => void;
}

const knownMembersMax = 1000;
const addressCharsMax = 255;
/** More than a leader keeps in flight. */
const heldBytesMax = 8 * 1024 * 1024;
/** What a message, and each of its entries, takes in memory beside its bytes: small ones come to more than these. */
const heldOverheadBytes = 64;

/** A stream that another process opened. */
interface Inbound {
  readonly member: MemberId;
  readonly incarnation: string;
  announced: Announced;
  readonly sender: StreamSender<RaftResponse>;
  /** Highest that it stated (N2). */
  durableIndex: number;
  /** Undefined once it is confirmed (N6). */
  held: { readonly messages: RaftMessage[]; bytes: number } | undefined;
}

export class RaftPeers {
  readonly #options: RaftPeersOptions;
  readonly #lines = new Map<MemberId, RaftLine>();
  readonly #inbound = new Map<MemberId, Set<Inbound>>();
  /** Of each member what counts, first, and behind it what another process says until the address was asked (N6). */
  readonly #announced = new Map<MemberId, readonly Announced[]>();
  /** N2; the member heard last is the last. */
  readonly #durable = new Map<MemberId, number>();
  readonly #refusalsSaid = new Set<string>();
  /** N4, until it is heard of again. */
  readonly #gone = new Set<NodeId>();
  #stopped = false;

  constructor(options: RaftPeersOptions) {
    this.#options = options;
  }

  serve(peers: Dispatcher): void {
    peers.stream(methods.raft.exchange, (_call, sender) => this.#accept(sender));
  }

  send(to: MemberId, message: RaftMessage): void {
    if (!this.#stopped) this.#lineTo(to).send(message);
  }

  /** N4 */
  isGone(node: NodeId): boolean {
    return this.#gone.has(node);
  }

  /** What the member said in its hello to this node. */
  announced(member: MemberId): Announced | undefined {
    return this.#announced.get(member)?.[0];
  }

  /** Forgets what no stream has taken yet; Raft repeats what still holds. */
  dropUnsent(): void {
    for (const line of this.#lines.values()) line.dropUnsent();
  }

  stop(): void {
    this.#stopped = true;
    for (const line of this.#lines.values()) line.stop();
  }

  #lineTo(to: MemberId): RaftLine {
    const known = this.#lines.get(to);
    if (known !== undefined) return known;
    const line = new RaftLine(this.#options, to, {
      addresses: () => this.addressesOf(to),
      refused: (error) => this.#sayRefusal(to, error),
      setGone: (gone) => this.#setGone(to, gone),
      confirmed: (incarnation) => this.#onConfirmed(to, incarnation),
      isAwaited: () => [...(this.#inbound.get(to) ?? [])].some(({ held }) => held !== undefined && held.bytes > 0),
    });
    this.#lines.set(to, line);
    return line;
  }

  #accept(sender: StreamSender<RaftResponse>): StreamReceiver<RaftRequest> {
    let inbound: Inbound | undefined;
    return {
      onMessage: (request) => {
        if (this.#stopped) throw new SluiceError('SHUTTING_DOWN');
        inbound ??= this.#onHello(request, sender);
        this.#onStanding(inbound, request);
        for (const bytes of request.messages) this.#onBytes(inbound, bytes);
        if (inbound.held === undefined) this.#remember(inbound);
      },
      onEnd: () => sender.end(),
      onClose: () => {
        if (inbound === undefined) return;
        const streams = this.#inbound.get(inbound.member);
        streams?.delete(inbound);
        if (streams?.size === 0) this.#inbound.delete(inbound.member);
      },
    };
  }

  #onHello(request: RaftRequest, sender: StreamSender<RaftResponse>): Inbound {
    const { self, remembered } = this.#options;
    const identity = checkedPeer(self, request.identity);
    const member = memberOf(identity as unknown as Member);
    const { incarnation } = identity;
    const { peerAddress, isController, votesRevoked } = request;
    const announced: Announced = { incarnation, address: peerAddress, isController, votesRevoked };
    this.#announce(member, announced);
    const held = { messages: [], bytes: 0 };
    const inbound: Inbound = { member, incarnation, announced, sender, durableIndex: 0, held };
    this.#inbound.set(member, (this.#inbound.get(member) ?? new Set()).add(inbound));
    const { term, matchIndex, brokerEpoch } = remembered(member);
    sender.send({
      identity: identityMessage(self),
      knownTerm: term,
      knownMatchIndex: Math.max(matchIndex, this.#durable.get(member) ?? 0),
      knownBrokerEpoch: brokerEpoch,
    });
    return inbound;
  }

  #onStanding(inbound: Inbound, { durableIndex, votesRevoked }: RaftRequest): void {
    inbound.durableIndex = Math.max(inbound.durableIndex, durableIndex);
    if (votesRevoked === inbound.announced.votesRevoked) return;
    inbound.announced = { ...inbound.announced, votesRevoked };
    this.#announce(inbound.member, inbound.announced);
  }

  #onBytes(inbound: Inbound, bytes: Uint8Array): void {
    const message = decodeRaftMessage(bytes);
    const { held, member } = inbound;
    if (held === undefined || message.kind === 'observe') return this.#hear(member, message);
    const entries = message.kind === 'append' ? message.entries.length : 0;
    const heldBytes = bytes.byteLength + heldOverheadBytes * (1 + entries);
    if (held.bytes + heldBytes <= heldBytesMax) {
      held.messages.push(message);
      held.bytes += heldBytes;
    }
    const line = this.#lineTo(member);
    if (line.incarnation === inbound.incarnation) this.#onConfirmed(member, inbound.incarnation);
    else if (held.messages.length === 1) line.ask();
  }

  #hear(member: MemberId, message: RaftMessage): void {
    this.#gone.delete(parseMember(member).nodeId);
    this.#options.onMessage(member, message);
  }

  /** N6 */
  #onConfirmed(member: MemberId, incarnation: string): void {
    const said = this.#announced.get(member)?.filter((each) => each.incarnation === incarnation) ?? [];
    if (said.length > 0) this.#announced.set(member, said);
    for (const inbound of this.#inbound.get(member) ?? []) {
      if (inbound.incarnation !== incarnation) {
        inbound.sender.close(this.#otherProcess(member));
        continue;
      }
      const messages = inbound.held?.messages ?? [];
      inbound.held = undefined;
      this.#remember(inbound);
      for (const message of messages) this.#hear(member, message);
    }
  }

  #remember({ member, durableIndex }: Inbound): void {
    const known = this.#durable.get(member) ?? 0;
    this.#durable.delete(member);
    this.#durable.set(member, Math.max(known, durableIndex));
    dropOldest(this.#durable);
  }

  #otherProcess(member: MemberId): SluiceError {
    const { nodeId, directoryId } = parseMember(member);
    const [address] = this.addressesOf(member);
    return new SluiceError('DUPLICATE_NODE', {
      message: `Another process answers at ${address} as node ${nodeId} with directory ${directoryId}, and is the one that counts; stop this one, or give it an empty directory and an id of its own.`,
    });
  }

  #setGone(member: MemberId, gone: boolean): void {
    const { nodeId } = parseMember(member);
    if (!gone) {
      this.#gone.delete(nodeId);
    } else if (!this.#stopped) {
      this.#gone.add(nodeId);
      this.#options.onGone(member);
    }
  }

  #announce(member: MemberId, said: Announced): void {
    if (said.address.length > addressCharsMax || parseAddress(said.address) === undefined) return;
    const before = this.#announced.get(member)?.find(({ incarnation }) => incarnation !== said.incarnation);
    this.#announced.delete(member);
    this.#announced.set(member, before === undefined ? [said] : [before, said]);
    dropOldest(this.#announced);
  }

  /** Said once for each kind: lines are opened again and again. */
  #sayRefusal(by: MemberId, { code, message }: SluiceError): void {
    if (this.#refusalsSaid.has(code)) return;
    this.#refusalsSaid.add(code);
    this.#options.logger.error('another node refuses this one', { peer: by, code, reason: message });
  }

  /** Where the member may be, the likeliest first. */
  addressesOf(member: MemberId): readonly string[] {
    const { given, heard } = this.#options.addressesOf(member);
    if (given.length > 0) return given;
    const announced = this.#announced.get(member)?.map(({ address }) => address) ?? [];
    return [...new Set([...announced, ...heard])];
  }
}

function dropOldest(known: Map<MemberId, unknown>): void {
  const [oldest] = known.keys();
  if (known.size > knownMembersMax && oldest !== undefined) known.delete(oldest);
}

/** Only this process may say that it is this node, and it has nothing to say to itself. */
function checkedPeer(self: PeerSelf, peer: Identity | null): Identity {
  const refusal = peerRefusal(self, peer);
  if (refusal !== undefined) throw refusal;
  if (peer !== null && isNodeNumber(peer.nodeId) && peer.nodeId !== self.nodeId) return peer;
  throw new SluiceError('INVALID_REQUEST', {
    message: 'Raft messages come from another node, with an id from 1 to 2^31 − 1.',
  });
}
