/**
 * The streams that carry Raft messages to other members, one for each, opened when there is something to say and kept.
 * Owned by `RaftRunner`. Messages may be lost: Raft repeats what matters.
 *
 * N1. Nothing is said to a directory before it has said who it is: a message for a member never reaches another
 *     directory under the same node id (P9).
 * N2. What is remembered of a member (highest term, highest committed index that it acknowledged) is told to it when it
 *     says hello: one that knows less than it once promised is a copy rolled back in time.
 * N3. A member that no configuration names is answered where its hello said: before it has the metadata log it cannot
 *     register, and metadata knows an address of registered nodes alone. Addresses of 1,000 such members are kept.
 * N4. A member whose stream stood and was closed is gone when its machine refuses another or does not answer: the end of
 *     a process, of its container, or of its machine in order. Who falls silent without closing is not: it may live.
 * N5. What waits for a member that does not read is bounded: beyond that messages are dropped.
 */
import { isNodeNumber, parseAddress, SluiceError, toSluiceError, OncePerTurn } from '@sluice/base';
import type { Clock, Logger, NodeId, Transport } from '@sluice/base';
import type { MemberId, RaftMessage } from '@sluice/raft';
import { identityMessage, methods, peerRefusal } from '@sluice/wire';
import type {
  Dispatcher,
  PeerSelf,
  RaftRequest,
  RaftResponse,
  RpcClient,
  StreamReceiver,
  StreamSender,
} from '@sluice/wire';
import { memberOf, parseMember } from './members.ts';
import type { Member } from './members.ts';
import { decodeRaftMessage, encodeRaftMessage } from './raft-codec.ts';

/** What a member must still know, or it was rolled back. */
export interface Remembered {
  readonly term: number;
  readonly matchIndex: number;
  readonly brokerEpoch: number;
}

export interface AddressBook {
  readonly configured: string | undefined;
  readonly registered: string | undefined;
}

export interface RaftPeersOptions {
  readonly self: PeerSelf;
  readonly rpc: RpcClient;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Advertised: where the others answer to. */
  readonly peerAddress: string;
  /** What configuration and metadata know; N3 for who is in neither. */
  readonly addressOf: (nodeId: NodeId) => AddressBook;
  /** What the metadata and this member's Raft know of a member. */
  readonly remembered: (member: MemberId) => Remembered;
  readonly onMessage: (from: MemberId, message: RaftMessage) => void;
  /** N4 */
  readonly onGone: (member: MemberId) => void;
  /** Another member says what it remembers of this one. */
  readonly onRemembered: (remembered: Remembered) => void;
}

const retryMs = 50;
const probeTimeoutMs = 250;
/** Gathered for one turn while the stream is open; more is dropped, and repeated by Raft. */
const gatheredMax = 1000;
/** Waiting in the transport for a member that does not read. */
const bufferedBytesMax = 64 * 1024 * 1024;
/** A member whose directory is gone is asked for seldom: it comes back only if its disk does. */
const otherDirectoryRetryMs = 1000;
const announcedMax = 1000;
const addressCharsMax = 255;

export class RaftPeers {
  readonly #options: RaftPeersOptions;
  readonly #lines = new Map<MemberId, Line>();
  readonly #announced = new Map<MemberId, string>();
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
    if (this.#stopped) return;
    let line = this.#lines.get(to);
    if (line === undefined) {
      line = new Line(this.#options, to, {
        address: () => this.#addressOf(to),
        refused: (error) => this.#sayRefusal(to, error),
        setGone: (gone) => this.#setGone(to, gone),
      });
      this.#lines.set(to, line);
    }
    line.send(message);
  }

  /** N4 */
  isGone(node: NodeId): boolean {
    return this.#gone.has(node);
  }

  /** Forgets what no stream has taken yet; Raft repeats what still holds. */
  dropUnsent(): void {
    for (const line of this.#lines.values()) line.dropUnsent();
  }

  stop(): void {
    this.#stopped = true;
    for (const line of this.#lines.values()) line.stop();
  }

  #accept(sender: StreamSender<RaftResponse>): StreamReceiver<RaftRequest> {
    const { self, remembered, onMessage } = this.#options;
    let from: MemberId | undefined;
    return {
      onMessage: (request) => {
        if (this.#stopped) throw new SluiceError('SHUTTING_DOWN');
        if (from === undefined) {
          const refusal = peerRefusal(self, request.identity) ?? noOtherMember(self, request.identity);
          if (refusal !== undefined) throw refusal;
          from = memberOf(request.identity as unknown as Member);
          this.#announce(from, request.peerAddress);
          this.#gone.delete(parseMember(from).nodeId);
          const { term, matchIndex, brokerEpoch } = remembered(from);
          sender.send({
            identity: identityMessage(self),
            knownTerm: term,
            knownMatchIndex: matchIndex,
            knownBrokerEpoch: brokerEpoch,
          });
        }
        for (const bytes of request.messages) onMessage(from, decodeRaftMessage(bytes));
      },
      onEnd: () => sender.end(),
      onClose: () => undefined,
    };
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

  #announce(member: MemberId, address: string): void {
    if (address.length > addressCharsMax || parseAddress(address) === undefined) return;
    this.#announced.delete(member);
    this.#announced.set(member, address);
    const [oldest] = this.#announced.keys();
    if (this.#announced.size > announcedMax && oldest !== undefined) this.#announced.delete(oldest);
  }

  /** Said once for each kind: lines are opened again and again. */
  #sayRefusal(by: MemberId, { code, message }: SluiceError): void {
    if (this.#refusalsSaid.has(code)) return;
    this.#refusalsSaid.add(code);
    this.#options.logger.error('another node refuses this one', { peer: by, code, reason: message });
  }

  #addressOf(member: MemberId): string | undefined {
    const { configured, registered } = this.#options.addressOf(parseMember(member).nodeId);
    return configured ?? this.#announced.get(member) ?? registered;
  }
}

/** Only this process may say that it is this node, and it has nothing to say to itself. */
function noOtherMember(self: PeerSelf, peer: RaftRequest['identity']): SluiceError | undefined {
  if (peer !== null && isNodeNumber(peer.nodeId) && peer.nodeId !== self.nodeId) return undefined;
  return new SluiceError('INVALID_REQUEST', {
    message: 'Raft messages come from another node, with an id from 1 to 2^31 − 1.',
  });
}

/** Refusals that no waiting mends: somebody must change a configuration or the software. */
const needsAPerson = ({ code, retry }: SluiceError): boolean =>
  code === 'DUPLICATE_NODE' || (retry === 'never' && (code === 'WRONG_CLUSTER' || code === 'UNSUPPORTED_VERSION'));

interface LinePorts {
  readonly address: () => string | undefined;
  readonly refused: (error: SluiceError) => void;
  /** N4 */
  readonly setGone: (gone: boolean) => void;
}

/** The outgoing stream to one member. */
class Line {
  readonly #options: RaftPeersOptions;
  readonly #to: MemberId;
  readonly #ports: LinePorts;
  #stream: StreamSender<RaftRequest> | undefined;
  #open = false;
  #gathered: Uint8Array[] = [];
  readonly #flushing: OncePerTurn;
  #mayConnectMs = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(options: RaftPeersOptions, to: MemberId, ports: LinePorts) {
    this.#options = options;
    this.#flushing = new OncePerTurn(options.clock, () => this.#flush());
    this.#to = to;
    this.#ports = ports;
  }

  send(message: RaftMessage): void {
    if (this.#stream === undefined) this.#connect();
    if (this.#gathered.length >= gatheredMax) return;
    this.#gathered.push(encodeRaftMessage(message));
    this.#flushing.soon();
  }

  dropUnsent(): void {
    this.#gathered = [];
  }

  stop(): void {
    this.#stopped = true;
    this.#stream?.close(new SluiceError('SHUTTING_DOWN'));
    this.#stream = undefined;
  }

  #connect(): void {
    const { rpc, self, clock, peerAddress } = this.#options;
    const nowMs = clock.monotonicMs();
    const address = this.#ports.address();
    if (address === undefined || nowMs < this.#mayConnectMs || this.#stopped) return;
    this.#mayConnectMs = nowMs + retryMs;
    const stream = rpc.stream(methods.raft.exchange, address, {
      onMessage: (response) => {
        if (this.#stream === stream) this.#onHello(response);
      },
      onClose: (error) => {
        if (this.#stream === stream) this.#onClosed(address, error);
      },
    });
    this.#stream = stream;
    stream.send({ identity: identityMessage(self), peerAddress });
  }

  #onHello(response: RaftResponse): void {
    const { identity, knownTerm, knownMatchIndex, knownBrokerEpoch } = response;
    const refusal = peerRefusal(this.#options.self, identity);
    const { directoryId } = parseMember(this.#to);
    if (refusal !== undefined || identity?.directoryId !== directoryId) {
      const stream = this.#stream;
      this.#reset();
      this.#mayConnectMs = this.#options.clock.monotonicMs() + otherDirectoryRetryMs;
      stream?.close(refusal ?? new SluiceError('WRONG_IDENTITY', { message: 'The member has another directory now.' }));
      return;
    }
    this.#open = true;
    this.#ports.setGone(false);
    // May withdraw the votes that wait here: before anything is sent.
    this.#options.onRemembered({ term: knownTerm, matchIndex: knownMatchIndex, brokerEpoch: knownBrokerEpoch });
    this.#flushing.soon();
  }

  #onClosed(address: string, error: SluiceError | undefined): void {
    const { transport, logger, clock } = this.#options;
    const wasOpen = this.#open;
    this.#reset();
    this.#mayConnectMs = clock.monotonicMs() + retryMs;
    logger.debug('raft stream closed', { peer: this.#to, err: error });
    if (error !== undefined && needsAPerson(error)) this.#ports.refused(error);
    // Only a stream that stood tells something by closing; one that never did may be a node not started yet.
    if (!wasOpen || this.#stopped) return;
    transport.probe(address, probeTimeoutMs).then(
      (result) => {
        if (result !== 'open' && !this.#open) this.#ports.setGone(true);
      },
      (failure: unknown) => logger.warn('probe failed', { peer: this.#to, err: toSluiceError(failure) }),
    );
  }

  #reset(): void {
    this.#stream = undefined;
    this.#open = false;
    this.#gathered = [];
  }

  #flush(): void {
    if (!this.#open || this.#gathered.length === 0) return;
    const messages = this.#gathered;
    this.#gathered = [];
    if (this.#stream === undefined || this.#stream.bufferedBytes > bufferedBytesMax) return;
    this.#stream.send({ messages });
  }
}
