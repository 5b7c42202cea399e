/** The one authorization table: which kinds of principal may do what. Rules about single topics come on top. */
import type { Operation, Principal } from '@sluice/wire';

/**
 * Without TLS nobody can prove who they are: listeners are on loopback, or `security.insecure` says in the
 * configuration that whoever reaches the port is trusted.
 */
const permitted: Readonly<Record<Operation, readonly Principal['type'][]>> = {
  'topic:write': ['anonymous', 'user'],
  'topic:read': ['anonymous', 'user'],
  'topic:describe': ['anonymous', 'user'],
  'topic:create': ['anonymous', 'user'],
  'topic:delete': ['anonymous', 'user'],
  'cluster:describe': ['anonymous', 'user'],
  'cluster:alter': ['anonymous', 'user'],
  // On the peer listener alone: the dispatcher of a client listener has no such method.
  'cluster:act': ['anonymous', 'node'],
};

export const authorize = (principal: Principal, operation: Operation): boolean =>
  permitted[operation].includes(principal.type);
