/** The two services of `examples/` as processes, and what they leave behind. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { hasEnded } from './node-processes.ts';

const examples = fileURLToPath(new URL('../examples', import.meta.url));

export interface Order {
  readonly id: string;
  readonly customer: string;
  readonly cents: number;
}

export interface Answer {
  /** 0: the connection broke, or there was none. */
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** A process of ours, from its first line of output to its end. */
class Service implements AsyncDisposable {
  readonly firstLine: string;
  readonly #child: ChildProcess;

  constructor(child: ChildProcess, firstLine: string) {
    this.#child = child;
    this.firstLine = firstLine;
  }

  static async start(script: string, env: Readonly<Record<string, string>>): Promise<Service> {
    const child = spawn(process.execPath, [path.join(examples, script)], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: child.stdout });
    const ended = once(child, 'exit').then(([code, signal]) => {
      throw new Error(`${script} ended (${signal ?? `code ${code}`}) before it said anything`);
    });
    const [line] = (await Promise.race([once(lines, 'line'), ended])) as [string];
    ended.catch(() => undefined);
    return new Service(child, line);
  }

  /** Resolves with the exit code, or the signal. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | string> {
    if (!hasEnded(this.#child)) {
      const exited = once(this.#child, 'exit');
      this.#child.kill(signal);
      await exited;
    }
    return this.#child.exitCode ?? this.#child.signalCode ?? '';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end('SIGKILL');
  }
}

export class OrderService implements AsyncDisposable {
  readonly #service: Service;
  readonly #address: string;

  private constructor(service: Service) {
    this.#service = service;
    this.#address = service.firstLine.replace('listening on ', '');
  }

  static async start(bootstrap: readonly string[]): Promise<OrderService> {
    return new OrderService(
      await Service.start('order-service.ts', { SLUICE_BOOTSTRAP: bootstrap.join(','), PORT: '0' }),
    );
  }

  /** `body` in place of the order's own. */
  async put({ id, ...fields }: Order, body: string = JSON.stringify(fields)): Promise<Answer> {
    try {
      const response = await fetch(`${this.#address}/orders/${id}`, { method: 'PUT', body });
      return { status: response.status, body: (await response.json()) as Answer['body'] };
    } catch {
      return { status: 0, body: {} };
    }
  }

  stop(): Promise<number | string> {
    return this.#service.end('SIGTERM');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#service[Symbol.asyncDispose]();
  }
}

/** The billing service at one directory, which outlives its processes. */
export class Billing implements AsyncDisposable {
  readonly directory: string;
  readonly #bootstrap: readonly string[];
  #service: Service | undefined;

  constructor(bootstrap: readonly string[], directory: string) {
    this.#bootstrap = bootstrap;
    this.directory = directory;
  }

  get invoicesFile(): string {
    return path.join(this.directory, 'invoices.jsonl');
  }

  get positionsFile(): string {
    return path.join(this.directory, 'positions.json');
  }

  async start(): Promise<void> {
    const env = { SLUICE_BOOTSTRAP: this.#bootstrap.join(','), BILLING_DIRECTORY: this.directory };
    this.#service = await Service.start('billing-service.ts', env);
  }

  async kill(): Promise<void> {
    await this.#service?.end('SIGKILL');
  }

  async stop(): Promise<number | string | undefined> {
    return this.#service?.end('SIGTERM');
  }

  /** As they lie in the file; the last line may be half written. */
  invoices(): Order[] {
    const text = readFileSync(this.invoicesFile, 'utf8');
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    return whole
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Order);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
