/**
 * How `deploy/compose.yaml` runs a node, as the engine takes it: what the container tests show of a node holds for the
 * cluster that is shipped. Addresses, names and volumes are the tests' own.
 */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

interface ClientListener {
  readonly name: string;
  readonly bind: string;
  readonly advertise: string;
}

interface Service {
  readonly environment: Readonly<Record<string, string>>;
  readonly stop_grace_period: string;
  readonly mem_limit: string;
  readonly read_only: boolean;
  readonly tmpfs: readonly string[];
  readonly cap_drop: readonly string[];
  readonly security_opt: readonly string[];
  readonly ulimits: Readonly<Record<string, { readonly soft: number; readonly hard: number }>>;
  readonly healthcheck: Readonly<Record<'interval' | 'timeout' | 'start_period', string>> & {
    readonly retries: number;
  };
}

export interface NodeSettings {
  readonly environment: Readonly<Record<string, string>>;
  /** Between SIGTERM and SIGKILL. */
  readonly stopGraceSeconds: number;
  readonly healthcheck: {
    readonly Interval: number;
    readonly Timeout: number;
    readonly StartPeriod: number;
    readonly Retries: number;
  };
  readonly host: {
    readonly Memory: number;
    readonly ReadonlyRootfs: boolean;
    readonly Tmpfs: Record<string, string>;
    readonly CapDrop: string[];
    readonly SecurityOpt: string[];
    readonly Ulimits: { Name: string; Soft: number; Hard: number }[];
  };
}

const { services } = parse(readFileSync(new URL('../deploy/compose.yaml', import.meta.url), 'utf8'), {
  merge: true,
}) as { readonly services: Readonly<Record<string, Service>> };

export const nodeCount = Object.keys(services).length;

/** Of node `id`, with its listener for programs of the host advertised as `hostAddress`. */
export function nodeSettings(id: number, hostAddress: string): NodeSettings {
  const service = services[`sluice-${id}`];
  if (service === undefined) throw new Error(`deploy/compose.yaml has no service sluice-${id}`);
  const { environment, healthcheck } = service;
  const listeners = parse(environment['SLUICE_LISTENERS_CLIENT'] ?? '') as readonly ClientListener[];
  const advertised = listeners.map((each) => (each.name === 'host' ? { ...each, advertise: hostAddress } : each));
  return {
    environment: { ...environment, SLUICE_LISTENERS_CLIENT: JSON.stringify(advertised) },
    stopGraceSeconds: seconds(service.stop_grace_period),
    healthcheck: {
      Interval: nanoseconds(healthcheck.interval),
      Timeout: nanoseconds(healthcheck.timeout),
      StartPeriod: nanoseconds(healthcheck.start_period),
      Retries: healthcheck.retries,
    },
    host: {
      Memory: bytes(service.mem_limit),
      ReadonlyRootfs: service.read_only,
      Tmpfs: Object.fromEntries(service.tmpfs.map((path) => [path, ''])),
      CapDrop: [...service.cap_drop],
      SecurityOpt: [...service.security_opt],
      Ulimits: Object.entries(service.ulimits).map(([Name, { soft, hard }]) => ({ Name, Soft: soft, Hard: hard })),
    },
  };
}

function seconds(text: string): number {
  const match = /^(\d+)s$/.exec(text);
  if (match === null) throw new Error(`deploy/compose.yaml: a duration in whole seconds is expected, not ${text}`);
  return Number(match[1]);
}

const nanoseconds = (text: string): number => seconds(text) * 1e9;

function bytes(text: string): number {
  const match = /^(\d+)([mg])$/.exec(text);
  if (match === null) throw new Error(`deploy/compose.yaml: a size in m or g is expected, not ${text}`);
  return Number(match[1]) * (match[2] === 'g' ? 1024 ** 3 : 1024 ** 2);
}
