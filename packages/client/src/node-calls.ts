/** Single calls: to one node, or to whichever node can answer. */
import type { Clock, ErrorCode } from '@sluice/base';
import { SluiceError, toSluiceError } from '@sluice/base';
import type { Method, Partially, RpcClient } from '@sluice/wire';
import { Backoff } from './backoff.ts';
import type { Metadata } from './metadata.ts';
import type { ClientPorts } from './ports.ts';
import { orAborted, pause } from './waiting.ts';

export interface CallLimits {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** A node that does not answer a question within this time is passed over; changes are waited for to the end. */
const attemptTimeoutMs = 5_000;

/** Answers of the cluster, whichever node is asked: to wait is for the caller to decide. */
const forTheCaller: ReadonlySet<ErrorCode> = new Set([
  'NOT_ENOUGH_NODES',
  'NOT_ENOUGH_VOTERS',
  'VOTER_NOT_CAUGHT_UP',
  'VOTER_CHANGE_UNDER_WAY',
]);

export class NodeCalls {
  readonly #metadata: Metadata;
  readonly #rpc: RpcClient;
  readonly #ports: ClientPorts;

  constructor(metadata: Metadata, rpc: RpcClient, ports: ClientPorts) {
    this.#metadata = metadata;
    this.#rpc = rpc;
    this.#ports = ports;
  }

  get clock(): Clock {
    return this.#ports.clock;
  }

  /** A question, asked of nodes in turn until one answers. Rejects at `timeoutMs` with the last error. */
  ask<Request, Response>(
    method: Method<Request, Response>,
    request: Partially<Request>,
    limits: CallLimits,
  ): Promise<Response> {
    const again = (error: SluiceError): boolean => error.retryable || error.code === 'TIMEOUT';
    return this.#inTurn(method, request, limits, { attemptTimeoutMs, again });
  }

  /** A change: sent again only when the first attempt certainly had no effect. */
  change<Request, Response>(
    method: Method<Request, Response>,
    request: Partially<Request>,
    limits: CallLimits,
  ): Promise<Response> {
    const again = (error: SluiceError): boolean => error.retryable && error.definite && !forTheCaller.has(error.code);
    return this.#inTurn(method, request, limits, { attemptTimeoutMs: Infinity, again });
  }

  at<Request, Response>(
    address: string,
    method: Method<Request, Response>,
    request: Partially<Request>,
    limits: CallLimits,
  ): Promise<Response> {
    const timeoutMs = Math.min(limits.timeoutMs, attemptTimeoutMs);
    return orAborted(this.#rpc.unary(method, address, request, { timeoutMs }), limits.signal);
  }

  async #inTurn<Request, Response>(
    method: Method<Request, Response>,
    request: Partially<Request>,
    { timeoutMs, signal }: CallLimits,
    rule: { readonly attemptTimeoutMs: number; readonly again: (error: SluiceError) => boolean },
  ): Promise<Response> {
    const { clock, random } = this.#ports;
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    const backoff = new Backoff(random, 50, 1_000);
    let last = new SluiceError('TIMEOUT', { definite: true });
    for (;;) {
      for (const address of this.#metadata.addresses()) {
        const leftMs = deadlineMs - clock.monotonicMs();
        if (leftMs <= 0) throw last;
        try {
          const options = { timeoutMs: Math.min(leftMs, rule.attemptTimeoutMs) };
          return await orAborted(this.#rpc.unary(method, address, request, options), signal);
        } catch (thrown) {
          last = toSluiceError(thrown);
          if (!rule.again(last)) throw last;
        }
      }
      const leftMs = deadlineMs - clock.monotonicMs();
      if (leftMs <= 0) throw last;
      await pause(clock, Math.min(backoff.nextMs(), leftMs), signal);
    }
  }
}
