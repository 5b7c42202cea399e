/**
 * Carries an empty directory to its cluster: asks the configured voters who they are, and does what `birth.ts` says,
 * until this directory is born or has joined. Also answers such questions, for ever. Owned by `ControllerNode`.
 */
import { clusterId, directoryId, isIdentity, isNodeNumber, nodeId, SluiceError, toSluiceError } from '@sluice/base';
import type { Clock, Halt, Logger, NodeId, Random } from '@sluice/base';
import type { Birth, DirectoryIdentity, IdentityKeeper } from '@sluice/storage';
import { identityMessage, malformedPeer, methods } from '@sluice/wire';
import type {
  BirthCertificate,
  Dispatcher,
  Identity,
  PeerSelf,
  ProbeResponse,
  RpcClient,
  VoterAddress,
} from '@sluice/wire';
import { mayPromise, nextBirthAction } from './birth.ts';
import type { BirthAction, BirthView } from './birth.ts';
import { toError } from './thrown.ts';

export interface ConfiguredVoter {
  readonly nodeId: NodeId;
  readonly peerAddress: string;
}

export interface BirthProcessOptions {
  readonly self: PeerSelf;
  readonly keeper: IdentityKeeper;
  readonly configured: readonly ConfiguredVoter[];
  readonly rpc: RpcClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly halt: Halt;
  /** Who votes now, as far as this node knows; empty before it belongs to a cluster. */
  readonly voters: () => readonly VoterAddress[];
}

const roundMs = 100;
const probeTimeoutMs = 1000;

export class BirthProcess {
  readonly #options: BirthProcessOptions;
  #stopped = false;
  /** Counts the changes of this directory's promise: one during a round voids the round (V2). */
  #promises = 0;
  #lastWait = '';

  constructor(options: BirthProcessOptions) {
    this.#options = options;
  }

  serve(peers: Dispatcher): void {
    const { self, keeper, voters } = this.#options;
    const answer = (): ProbeResponse => ({
      identity: identityMessage(self),
      certificate: certificateOf(keeper.current),
      configured: this.#configured,
      voters: voters(),
    });
    peers.unary(methods.birth.probe, async (request) => {
      const refusal = malformedPeer(request.identity);
      if (refusal !== undefined) throw refusal;
      return answer();
    });
    peers.unary(methods.birth.promise, async (request) => {
      const refusal = malformedPeer(request.identity);
      const asker = request.identity?.nodeId;
      if (refusal !== undefined || !isNodeNumber(asker)) throw refusal ?? new SluiceError('INVALID_REQUEST');
      await this.#promise(nodeId(asker), parseCertificate(request.certificate));
      return answer();
    });
  }

  /** Resolves when the directory belongs to a cluster, or `stop` was called. */
  async run(): Promise<void> {
    while (!this.#stopped && this.#options.keeper.current.clusterId === null) {
      const done = await this.#round();
      if (!done) await new Promise<void>((resolve) => void this.#options.clock.setTimer(roundMs, resolve));
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  get #configured(): readonly NodeId[] {
    return this.#options.configured.map((voter) => voter.nodeId);
  }

  async #round(): Promise<boolean> {
    const { keeper, configured, random } = this.#options;
    const promises = this.#promises;
    const isOther = ({ nodeId: id }: ConfiguredVoter): boolean => id !== keeper.current.nodeId;
    const [isAlone, ...views] = await Promise.all([
      this.#isAlone(configured.find((voter) => !isOther(voter))),
      ...configured.filter(isOther).map((voter) => this.#probe(voter)),
    ]);
    if (!isAlone) return false;
    const action = nextBirthAction({
      self: keeper.current,
      promise: keeper.current.birth ?? undefined,
      configured: this.#configured,
      views: views.filter((view) => view !== undefined),
      freshClusterId: clusterId(random.identity()),
    });
    return this.#act(action, promises);
  }

  /** The others see who answers at the configured address, and that may be another process with the same node id. */
  async #isAlone(voter: ConfiguredVoter | undefined): Promise<boolean> {
    if (voter === undefined) return true;
    const { self } = this.#options;
    const found = await this.#identityAt(voter.peerAddress);
    if (found === undefined || found.incarnation === self.incarnation) return true;
    const { nodeId: id, directoryId: directory } = found;
    const reason = `Node ${id} with directory ${directory} answers at ${voter.peerAddress}, the address of this node; give each node its own id and address, or stop one of them.`;
    this.#sayOnce('another process answers at the address of this node', { code: 'DUPLICATE_NODE', reason }, 'error');
    return false;
  }

  /** Undefined when nobody answers there: not every node reaches itself by its own advertised address. */
  async #identityAt(address: string): Promise<Identity | undefined> {
    const { rpc, self } = this.#options;
    try {
      const request = { identity: identityMessage(self) };
      const answer = await rpc.unary(methods.birth.probe, address, request, { timeoutMs: probeTimeoutMs });
      return answer.identity ?? undefined;
    } catch {
      return undefined;
    }
  }

  /** `promises`: as counted when the round began. */
  async #act(action: BirthAction, promises: number): Promise<boolean> {
    const { logger } = this.#options;
    switch (action.kind) {
      case 'born':
      case 'join': {
        const { clusterId: id, voters } = action.certificate;
        if (!(await this.#changeIfSame(promises, { clusterId: id, birth: null, voters }))) return false;
        logger.info(action.kind === 'born' ? 'cluster born' : 'joined cluster as an observer', { clusterId: id });
        return true;
      }
      case 'propose': {
        if (!(await this.#changeIfSame(promises, { birth: action.certificate }))) return false;
        await Promise.all(action.ask.map((voter) => this.#ask(voter, action.certificate)));
        return action.ask.length === 0;
      }
      case 'wait':
        this.#sayOnce('waiting for the other voters to meet', { missing: action.missing });
        return false;
      case 'conflict':
        this.#sayOnce('configured voters belong to different clusters; check the addresses', {
          clusterIds: action.clusterIds,
        });
        return false;
      case 'disagree':
        this.#sayOnce('configurations name different voters; write the same cluster.voters on all nodes', {
          configured: this.#configured,
          differsAt: action.others,
        });
        return false;
      case 'promised-elsewhere':
        this.#sayOnce(
          'cluster.voters lacks voters that this directory has promised itself to; name them again, or empty it',
          { configured: this.#configured, promisedTo: action.voters },
        );
        return false;
    }
  }

  /** False when the directory promised itself since: then nothing was changed. */
  async #changeIfSame(promises: number, change: Partial<DirectoryIdentity>): Promise<boolean> {
    let same = false;
    await this.#options.keeper.update((current) => {
      same = this.#promises === promises;
      if (!same) return current;
      this.#promises += 1;
      return { ...current, ...change };
    });
    return same;
  }

  async #promise(asker: NodeId, certificate: Birth): Promise<void> {
    const { keeper, halt } = this.#options;
    const configured = this.#configured;
    try {
      await keeper.update((current) => {
        const situation = { self: current, promise: current.birth ?? undefined, configured };
        const allowed = current.clusterId === null && mayPromise(situation, asker, certificate);
        if (!allowed) return current;
        this.#promises += 1;
        return { ...current, birth: certificate };
      });
    } catch (thrown) {
      // What the directory holds is not known any more (S2).
      halt.halt(toError(thrown));
      throw new SluiceError('STORAGE_FAILED', { cause: thrown });
    }
  }

  async #probe(voter: ConfiguredVoter): Promise<BirthView | undefined> {
    const { rpc, self } = this.#options;
    try {
      const request = { identity: identityMessage(self) };
      const answer = await rpc.unary(methods.birth.probe, voter.peerAddress, request, { timeoutMs: probeTimeoutMs });
      const { identity } = answer;
      const problem = malformedPeer(identity);
      if (problem !== undefined || identity === null) throw problem ?? new SluiceError('INVALID_REQUEST');
      if (identity.nodeId !== voter.nodeId) {
        throw new SluiceError('WRONG_IDENTITY', {
          message: `${voter.peerAddress} is node ${identity.nodeId}, the configuration says ${voter.nodeId}.`,
        });
      }
      const certificate = answer.certificate === null ? undefined : parseCertificate(answer.certificate);
      const born = identity.clusterId !== '';
      const names = answer.configured.map(nodeId);
      return {
        nodeId: voter.nodeId,
        directoryId: directoryId(identity.directoryId),
        certificate,
        born,
        configured: names,
      };
    } catch (error) {
      const failure = toSluiceError(error);
      if (!failure.retryable && failure.definite) this.#sayOnce('voter refused', { voter: voter.nodeId, err: failure });
      return undefined;
    }
  }

  async #ask(voter: NodeId, certificate: Birth): Promise<void> {
    const { rpc, self, configured, logger } = this.#options;
    const address = configured.find((known) => known.nodeId === voter)?.peerAddress;
    if (address === undefined) return;
    try {
      const request = { identity: identityMessage(self), certificate };
      await rpc.unary(methods.birth.promise, address, request, { timeoutMs: probeTimeoutMs });
    } catch (error) {
      // The next round asks again.
      logger.debug('promise not answered', { voter, err: toSluiceError(error) });
    }
  }

  #sayOnce(phrase: string, fields: Readonly<Record<string, unknown>>, level: 'info' | 'error' = 'info'): void {
    const said = `${phrase} ${JSON.stringify(fields)}`;
    if (said === this.#lastWait) return;
    this.#lastWait = said;
    this.#options.logger[level](phrase, fields);
  }
}

function certificateOf(identity: DirectoryIdentity): BirthCertificate | null {
  if (identity.clusterId !== null && identity.voters !== null) {
    return { clusterId: identity.clusterId, voters: identity.voters };
  }
  return identity.birth;
}

function parseCertificate(certificate: BirthCertificate | null): Birth {
  const voters = certificate?.voters ?? [];
  const isWhole =
    voters.length > 0 &&
    new Set(voters.map((voter) => voter.nodeId)).size === voters.length &&
    voters.every((voter) => isNodeNumber(voter.nodeId) && isIdentity(voter.directoryId));
  if (certificate === null || !isIdentity(certificate.clusterId) || !isWhole) {
    throw new SluiceError('INVALID_REQUEST', { message: 'A birth certificate names a cluster and its voters.' });
  }
  return {
    clusterId: clusterId(certificate.clusterId),
    voters: voters.map((voter) => ({ nodeId: nodeId(voter.nodeId), directoryId: directoryId(voter.directoryId) })),
  };
}
