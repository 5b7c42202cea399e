import { invariant } from '@sluice/base';
import type { ErrorCode, NodeId, Offset } from '@sluice/base';
import type {
  IsrProposal,
  LogChange,
  PartitionEffects,
  PartitionTrace,
  ProduceReply,
  ReloadProducers,
  FollowerAck,
  ReplicationMessage,
  StartPush,
  TrimReply,
} from './effects.ts';
import type { RequestId } from './events.ts';

const nothing: readonly never[] = [];

/** Effects being gathered during one step. Lists are made only when something is put into them. */
export class EffectsDraft implements PartitionEffects {
  log: LogChange | undefined = undefined;
  reloadProducers: ReloadProducers | undefined = undefined;
  trimTo: Offset | undefined = undefined;
  stopPush: readonly NodeId[] = nothing;
  sendNow: readonly ReplicationMessage[] = nothing;
  startPush: readonly StartPush[] = nothing;
  ack: FollowerAck | undefined = undefined;
  replies: readonly ProduceReply[] = nothing;
  trimReplies: readonly TrimReply[] = nothing;
  readable: Offset | undefined = undefined;
  isrChange: IsrProposal | undefined = undefined;
  trace: readonly PartitionTrace[] = nothing;

  change(log: LogChange): void {
    invariant(this.log === undefined, 'a step changes the log once', { first: this.log, second: log });
    this.log = log;
  }

  stopPushTo(replica: NodeId): void {
    this.stopPush = [...this.stopPush, replica];
  }

  send(message: ReplicationMessage): void {
    this.sendNow = [...this.sendNow, message];
  }

  pushTo(push: StartPush): void {
    this.startPush = [...this.startPush, push];
  }

  succeed(requestId: RequestId, baseOffset: Offset): void {
    this.#reply({ requestId, baseOffset });
  }

  fail(requestId: RequestId, error: ErrorCode): void {
    this.#reply({ requestId, error });
  }

  trimmed(requestId: RequestId, logStart: Offset): void {
    this.trimReplies = [...this.trimReplies, { requestId, logStart }];
  }

  failTrim(requestId: RequestId, error: ErrorCode): void {
    this.trimReplies = [...this.trimReplies, { requestId, error }];
  }

  note(entry: PartitionTrace): void {
    this.trace = [...this.trace, entry];
  }

  dropped(event: string, reason: string): void {
    this.note({ kind: 'dropped', event, reason });
  }

  #reply(reply: ProduceReply): void {
    // Many requests can end in one step: pushed, not copied.
    if (this.replies === nothing) this.replies = [reply];
    else (this.replies as ProduceReply[]).push(reply);
  }
}
