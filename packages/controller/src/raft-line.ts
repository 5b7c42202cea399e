/**
 * The outgoing stream to one member, opened when there is something to say or somebody to confirm. Owned by `RaftPeers`.
 */
import { SluiceError, toSluiceError, OncePerTurn } from '@sluice/base';
import type { Clock, Logger, Timer, Transport } from '@sluice/base';
import type { MemberId, RaftMessage } from '@sluice/raft';
import { identityMessage, methods, peerRefusal } from '@sluice/wire';
import type { PeerSelf, RaftRequest, RaftResponse, RpcClient, StreamSender } from '@sluice/wire';
import { parseMember } from './members.ts';
import { encodeRaftMessage } from './raft-codec.ts';

/** What a member must still know, or it was rolled back. */
export interface Remembered {
  readonly term: number;
  readonly matchIndex: number;
  readonly brokerEpoch: number;
}

/** How this node presents itself, with what it speaks and keeps time by. */
export interface LineContext {
  readonly self: PeerSelf;
  readonly rpc: RpcClient;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Advertised: where the others answer to. */
  readonly peerAddress: string;
  readonly isController: boolean;
  /** Highest committed index that is on this node's disk. */
  readonly durableIndex: () => number;
  /** This directory may have lost votes. */
  readonly votesRevoked: () => boolean;
  /** Another member says what it remembers of this one. */
  readonly onRemembered: (remembered: Remembered) => void;
}

export interface LinePorts {
  /** Where the member may be, the likeliest first. */
  readonly addresses: () => readonly string[];
  readonly refused: (error: SluiceError) => void;
  /** N4 */
  readonly setGone: (gone: boolean) => void;
  /** The member answers at its address, as this process (N6). */
  readonly confirmed: (incarnation: string) => void;
  /** Somebody waits to be confirmed. */
  readonly isAwaited: () => boolean;
}

const retryMs = 50;
const probeTimeoutMs = 250;
/** Gathered for one turn while the stream is open; more is dropped, and repeated by Raft. */
const gatheredMax = 1000;
/** Waiting in the transport for a member that does not read. */
const bufferedBytesMax = 64 * 1024 * 1024;
/** A member whose directory is gone is asked for seldom: it comes back only if its disk does. So is one that refuses. */
const seldomMs = 1000;

export class RaftLine {
  readonly #context: LineContext;
  readonly #to: MemberId;
  readonly #ports: LinePorts;
  #stream: StreamSender<RaftRequest> | undefined;
  #incarnation: string | undefined;
  #gathered: Uint8Array[] = [];
  readonly #flushing: OncePerTurn;
  #mayConnectMs = Number.NEGATIVE_INFINITY;
  /** Moves on when nobody fit was found at an address. */
  #turn = 0;
  #retry: Timer | undefined;
  #stopped = false;

  constructor(context: LineContext, to: MemberId, ports: LinePorts) {
    this.#context = context;
    this.#flushing = new OncePerTurn(context.clock, () => this.#flush());
    this.#to = to;
    this.#ports = ports;
  }

  /** Of the process that answered; undefined while none has. */
  get incarnation(): string | undefined {
    return this.#incarnation;
  }

  send(message: RaftMessage): void {
    if (this.#stream === undefined) this.#connect();
    if (this.#gathered.length >= gatheredMax) return;
    this.#gathered.push(encodeRaftMessage(message));
    this.#flushing.soon();
  }

  /** Asks the address again who is there: another process says that it is this member. */
  ask(): void {
    if (this.#stream !== undefined && this.#incarnation === undefined) return;
    const stream = this.#stream;
    this.#reset();
    stream?.close(new SluiceError('CANCELLED'));
    this.#connect();
  }

  dropUnsent(): void {
    this.#gathered = [];
  }

  stop(): void {
    this.#stopped = true;
    this.#retry?.cancel();
    this.#stream?.close(new SluiceError('SHUTTING_DOWN'));
    this.#stream = undefined;
  }

  #connect(): void {
    const { rpc, self, clock, peerAddress, isController } = this.#context;
    const nowMs = clock.monotonicMs();
    if (this.#stopped) return;
    if (nowMs < this.#mayConnectMs) return this.#connectLater();
    const addresses = this.#ports.addresses();
    const address = addresses[this.#turn % addresses.length];
    this.#mayConnectMs = nowMs + retryMs;
    if (address === undefined) return this.#connectLater();
    const stream = rpc.stream(methods.raft.exchange, address, {
      onMessage: (response) => {
        if (this.#stream === stream) this.#onHello(response);
      },
      onClose: (error) => {
        if (this.#stream === stream) this.#onClosed(address, error);
      },
    });
    this.#stream = stream;
    stream.send({ identity: identityMessage(self), peerAddress, isController, ...this.#standing() });
  }

  /** Who has something to send tries again by itself; who waits to be confirmed cannot. */
  #connectLater(): void {
    if (this.#stopped || this.#retry !== undefined || !this.#ports.isAwaited()) return;
    const delayMs = Math.max(0, this.#mayConnectMs - this.#context.clock.monotonicMs());
    this.#retry = this.#context.clock.setTimer(delayMs, () => {
      this.#retry = undefined;
      if (this.#stream === undefined && this.#ports.isAwaited()) this.#connect();
    });
  }

  #onHello(response: RaftResponse): void {
    const { identity, knownTerm, knownMatchIndex, knownBrokerEpoch } = response;
    const refusal = peerRefusal(this.#context.self, identity);
    const { directoryId } = parseMember(this.#to);
    if (refusal !== undefined || identity?.directoryId !== directoryId) {
      const stream = this.#stream;
      this.#reset();
      this.#turn += 1;
      this.#mayConnectMs = this.#context.clock.monotonicMs() + seldomMs;
      stream?.close(refusal ?? new SluiceError('WRONG_IDENTITY', { message: 'The member has another directory now.' }));
      this.#connectLater();
      return;
    }
    this.#incarnation = identity.incarnation;
    this.#ports.setGone(false);
    // May withdraw the votes that wait here: before anything is sent.
    this.#context.onRemembered({ term: knownTerm, matchIndex: knownMatchIndex, brokerEpoch: knownBrokerEpoch });
    this.#flushing.soon();
    this.#ports.confirmed(identity.incarnation);
  }

  #onClosed(address: string, error: SluiceError | undefined): void {
    const { transport, logger, clock } = this.#context;
    const wasOpen = this.#incarnation !== undefined;
    this.#reset();
    const isRefused = error !== undefined && needsAPerson(error);
    this.#mayConnectMs = clock.monotonicMs() + (isRefused ? seldomMs : retryMs);
    logger.debug('raft stream closed', { peer: this.#to, err: error });
    if (isRefused) this.#ports.refused(error);
    if (!wasOpen) this.#turn += 1;
    this.#connectLater();
    // Only a stream that stood tells something by closing; one that never did may be a node not started yet.
    if (!wasOpen || this.#stopped) return;
    transport.probe(address, probeTimeoutMs).then(
      (result) => {
        if (result !== 'open' && this.#incarnation === undefined) this.#ports.setGone(true);
      },
      (failure: unknown) => logger.warn('probe failed', { peer: this.#to, err: toSluiceError(failure) }),
    );
  }

  #reset(): void {
    this.#stream = undefined;
    this.#incarnation = undefined;
    this.#gathered = [];
  }

  #flush(): void {
    if (this.#incarnation === undefined || this.#gathered.length === 0) return;
    const messages = this.#gathered;
    this.#gathered = [];
    if (this.#stream === undefined || this.#stream.bufferedBytes > bufferedBytesMax) return;
    this.#stream.send({ messages, ...this.#standing() });
  }

  #standing(): { readonly durableIndex: number; readonly votesRevoked: boolean } {
    return { durableIndex: this.#context.durableIndex(), votesRevoked: this.#context.votesRevoked() };
  }
}

/** Refusals that no waiting mends: somebody must change a configuration or the software, or stop a process. */
const needsAPerson = ({ code, retry }: SluiceError): boolean =>
  code === 'DUPLICATE_NODE' || (retry === 'never' && (code === 'WRONG_CLUSTER' || code === 'UNSUPPORTED_VERSION'));
