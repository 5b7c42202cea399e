/**
 * Finds who votes now, for a node that hears no leader: all voters that it knew may have been replaced while it was away,
 * or it may be new, and know only who voted first. Every node of the cluster that it can find is asked, those of the
 * configuration among them. What it is told only says whom to ask for a leader: `raft` believes leaders, not hints.
 * Owned by `ControllerNode`.
 */
import { isIdentity, isNodeNumber, parseAddress, toSluiceError } from '@sluice/base';
import type { Clock, Logger, Timer } from '@sluice/base';
import type { MemberId } from '@sluice/raft';
import { identityMessage, methods, peerRefusal } from '@sluice/wire';
import type { PeerSelf, ProbeResponse, RpcClient, VoterAddress } from '@sluice/wire';
import { memberOf } from './members.ts';
import type { Member } from './members.ts';

export interface VoterSearchOptions {
  readonly self: PeerSelf;
  readonly rpc: RpcClient;
  readonly clock: Clock;
  readonly logger: Logger;
  /** No leader is known here. */
  readonly isNeeded: () => boolean;
  /** Where nodes of this cluster may be. */
  readonly addresses: () => readonly string[];
  readonly onFound: (voters: readonly MemberId[]) => void;
}

/** Longer than an ordinary election among voters that are up. */
const everyMs = 500;
const askTimeoutMs = 1000;
/** Asked at a time; the next round asks the next ones. */
const askedMax = 16;
const foundMax = 64;
const addressCharsMax = 255;

export class VoterSearch {
  readonly #options: VoterSearchOptions;
  #found: ReadonlyMap<MemberId, string> = new Map();
  #timer: Timer | undefined;
  #round = 0;
  #stopped = false;

  constructor(options: VoterSearchOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.setTimer(everyMs, () => {
      this.#look().then(
        () => this.start(),
        (thrown: unknown) => {
          this.#options.logger.error('search for voters failed', { err: toSluiceError(thrown) });
          this.start();
        },
      );
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  addressOf(member: MemberId): string | undefined {
    return this.#found.get(member);
  }

  async #look(): Promise<void> {
    const { isNeeded, addresses, onFound } = this.#options;
    if (!isNeeded()) return;
    const all = [...new Set(addresses())];
    const first = all.length === 0 ? 0 : (this.#round * askedMax) % all.length;
    this.#round += 1;
    const asked = [...all.slice(first), ...all.slice(0, first)].slice(0, askedMax);
    const answers = await Promise.all(asked.map((address) => this.#ask(address)));
    const told = answers.flat().filter(isWhole).slice(0, foundMax);
    if (this.#stopped || told.length === 0) return;
    this.#found = new Map(told.map((voter) => [memberOf(voter as unknown as Member), voter.address]));
    if (isNeeded()) onFound([...this.#found.keys()]);
  }

  async #ask(address: string): Promise<ProbeResponse['voters']> {
    const { rpc, self, logger } = this.#options;
    try {
      const request = { identity: identityMessage(self) };
      const answer = await rpc.unary(methods.birth.probe, address, request, { timeoutMs: askTimeoutMs });
      const refusal = peerRefusal(self, answer.identity);
      if (refusal === undefined) return answer.voters;
      logger.debug('asked for voters in vain', { address, err: refusal });
    } catch (error) {
      // The next round asks again.
      logger.debug('asked for voters in vain', { address, err: toSluiceError(error) });
    }
    return [];
  }
}

const isWhole = ({ nodeId, directoryId, address }: VoterAddress): boolean =>
  isNodeNumber(nodeId) &&
  isIdentity(directoryId) &&
  address.length <= addressCharsMax &&
  parseAddress(address) !== undefined;
