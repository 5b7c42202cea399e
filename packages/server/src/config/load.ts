/** Sources → one validated `NodeConfig`. Reads no file and no environment itself: `main.ts` does. */
import { SluiceError } from '@sluice/base';
import { parse as parseYaml } from 'yaml';
import { checkTogether } from './together.ts';
import { configKeys, configTable, environmentName, isConfigKey, profiles } from './table.ts';
import type { ConfigKey, ConfigRow, NodeConfig } from './table.ts';

export interface ConfigSources {
  /** The YAML file. */
  readonly file?: { readonly name: string; readonly text: string };
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** `key=value`, in order; the last one wins. */
  readonly sets?: readonly string[];
}

/** Throws `INVALID_CONFIG` that names key, value and what is allowed. */
export function loadConfig({ file, environment = {}, sets = [] }: ConfigSources): NodeConfig {
  const given = new Map<ConfigKey, unknown>();
  if (file !== undefined) readFile(file, given);
  readEnvironment(environment, given);
  for (const assignment of sets) readAssignment(assignment, given);
  const profile = parseKey('profile', given.get('profile') ?? configTable.profile.defaultValue);
  const entries = configKeys.map((key) => {
    const raw = given.get(key) ?? profiles[profile][key] ?? configTable[key].defaultValue;
    return [key, parseKey(key, raw)] as const;
  });
  const config = withAdvertised(Object.fromEntries(entries) as NodeConfig);
  checkTogether(config);
  return config;
}

function parseKey<Key extends ConfigKey>(key: Key, raw: unknown): NodeConfig[Key] {
  if (raw === undefined) {
    throw new SluiceError('INVALID_CONFIG', {
      message: `${key} is missing; give it in the configuration file, as ${environmentName(key)} or with --set ${key}=…`,
      details: { key },
    });
  }
  const { parser }: ConfigRow<unknown> = configTable[key];
  const value = parser.structured === true && typeof raw === 'string' ? yamlOf(raw, key) : raw;
  return parser.parse(value, key) as NodeConfig[Key];
}

/** An absent `advertise` is the bind address. */
function withAdvertised(config: NodeConfig): NodeConfig {
  return {
    ...config,
    'listeners.client': config['listeners.client'].map((listener) => ({
      ...listener,
      advertise: listener.advertise === '' ? listener.bind : listener.advertise,
    })),
    'listeners.peer.advertise': config['listeners.peer.advertise'] || config['listeners.peer.bind'],
    'listeners.admin.advertise': config['listeners.admin.advertise'] || config['listeners.admin.bind'],
  };
}

function readFile(
  { name, text }: { readonly name: string; readonly text: string },
  given: Map<ConfigKey, unknown>,
): void {
  const root = yamlOf(text, name);
  if (root === null || root === undefined) return;
  if (!isMapping(root)) {
    throw new SluiceError('INVALID_CONFIG', { message: `${name} must be a mapping of keys to values` });
  }
  flatten(root, '', given);
}

/** Nested keys and dotted keys are the same thing: `raft: {heartbeatMs: 50}` is `raft.heartbeatMs: 50`. */
function flatten(mapping: Readonly<Record<string, unknown>>, prefix: string, given: Map<ConfigKey, unknown>): void {
  for (const [name, value] of Object.entries(mapping)) {
    const key = `${prefix}${name}`;
    if (!isConfigKey(key) && isMapping(value)) {
      flatten(value, `${key}.`, given);
      continue;
    }
    const known = knownKey(key);
    if (given.has(known))
      throw new SluiceError('INVALID_CONFIG', { message: `${key} is given twice`, details: { key } });
    given.set(known, present(known, value));
  }
}

/** Variables of this prefix that are not configuration of a node: the command line's own. */
const otherVariables = new Set(['SLUICE_BOOTSTRAP', 'SLUICE_CONTEXT', 'SLUICE_LAUNCHER', 'SLUICE_CONFIG']);

/** What Kubernetes sets in every pod beside a service named `sluice` or `sluice-…`. */
const serviceLink = /_(?:SERVICE_HOST|SERVICE_PORT\w*|PORT|PORT_\d+_\w+)$/;

function readEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  given: Map<ConfigKey, unknown>,
): void {
  const byName = new Map(configKeys.map((key) => [environmentName(key), key]));
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith('SLUICE_') || value === undefined) continue;
    const key = byName.get(name);
    if (key !== undefined) given.set(key, value);
    else if (!otherVariables.has(name) && !name.startsWith('SLUICE_PEERS_') && !serviceLink.test(name)) {
      throw new SluiceError('INVALID_CONFIG', {
        message: `there is no configuration key for the environment variable ${name}${suggestion(name, [...byName.keys()])}`,
        details: { key: name },
      });
    }
  }
}

function readAssignment(assignment: string, given: Map<ConfigKey, unknown>): void {
  const at = assignment.indexOf('=');
  if (at <= 0) {
    throw new SluiceError('INVALID_CONFIG', {
      message: `--set ${JSON.stringify(assignment)} must be key=value, such as --set logLevel=debug`,
    });
  }
  given.set(knownKey(assignment.slice(0, at)), assignment.slice(at + 1));
}

function knownKey(key: string): ConfigKey {
  if (isConfigKey(key)) return key;
  throw new SluiceError('INVALID_CONFIG', {
    message: `there is no configuration key ${JSON.stringify(key)}${suggestion(key, configKeys)}`,
    details: { key, allowed: configKeys },
  });
}

function present(key: ConfigKey, value: unknown): unknown {
  if (value !== null) return value;
  throw new SluiceError('INVALID_CONFIG', {
    message: `${key} has no value; give one, or remove the line for the default`,
    details: { key },
  });
}

function yamlOf(text: string, name: string): unknown {
  try {
    return parseYaml(text) as unknown;
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw new SluiceError('INVALID_CONFIG', { message: `${name} is not YAML: ${reason}`, cause: error });
  }
}

const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function suggestion(key: string, known: readonly string[]): string {
  let nearest = '';
  let nearestDistance = Math.max(3, Math.floor(key.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(key.toLowerCase(), candidate.toLowerCase());
    if (distance < nearestDistance) [nearest, nearestDistance] = [candidate, distance];
  }
  return nearest === '' ? `; the keys are ${known.join(', ')}` : `; did you mean ${nearest}?`;
}

/** Levenshtein distance, one row at a time. */
function editDistance(from: string, to: string): number {
  let previous = Array.from({ length: to.length + 1 }, (_, at) => at);
  for (let row = 1; row <= from.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= to.length; column += 1) {
      const replaced = (previous[column - 1] ?? 0) + (from[row - 1] === to[column - 1] ? 0 : 1);
      current.push(Math.min(replaced, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[to.length] ?? 0;
}
