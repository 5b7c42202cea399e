/**
 * Work that takes minutes, in tasks, over all cores: worker processes are this checkout's own scripts, told one task at a
 * time. A worker that says nothing for long is stuck, and its task has failed.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

export interface Tasks<Task, Result> {
  /** Undefined when there is nothing to do now; asked again after each result. */
  next(): Task | undefined;
  /** How far the task is, in whatever it counts; `part` of the result, when the worker gives it bit by bit. */
  progress(task: Task, count: number, part: unknown): void;
  done(task: Task, result: Result): void;
  /** The worker ended, or was stuck and is killed. */
  lost(task: Task, why: string): void;
}

export interface Workers {
  /** Run with `--worker`; calls `serveTasks`. */
  readonly script: URL;
  readonly count?: number;
  readonly silentMsMax: number;
  readonly nodeOptions?: readonly string[];
  /** Until a process is replaced by a fresh one; default 1. */
  readonly tasksEach?: number;
}

type FromWorker = { readonly progress: number; readonly part?: unknown } | { readonly result: unknown };

/** Resolves when every task that there was is done or lost. */
export async function runTasks<Task, Result>(tasks: Tasks<Task, Result>, workers: Workers): Promise<void> {
  const idle = new Set<() => void>();
  let busy = 0;
  const worker = async (): Promise<void> => {
    let worked: WorkerProcess | undefined;
    for (;;) {
      const task = tasks.next();
      if (task === undefined) {
        if (busy === 0) break;
        await new Promise<void>((resolve) => idle.add(resolve));
        continue;
      }
      busy += 1;
      worked ??= new WorkerProcess(workers);
      await worked.run(task, tasks);
      if (worked.isOver) worked = undefined;
      busy -= 1;
      for (const wake of idle) wake();
      idle.clear();
    }
    await worked?.end();
  };
  await Promise.all(Array.from({ length: workers.count ?? availableParallelism() }, worker));
}

/** What one task leaves in the memory of its process is there for the next, up to `tasksEach`. */
class WorkerProcess {
  readonly #workers: Workers;
  readonly #child: ChildProcess;
  readonly #exited: Promise<string>;
  #tasks = 0;
  #isOver = false;
  #failure: string | undefined;

  constructor(workers: Workers) {
    this.#workers = workers;
    this.#child = fork(fileURLToPath(workers.script), ['--worker'], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      execArgv: [...process.execArgv, ...(workers.nodeOptions ?? [])],
    });
    this.#exited = new Promise((resolve) => {
      const over = (why: string): void => {
        this.#isOver = true;
        resolve(this.#failure ?? why);
      };
      // Not `close`: it does not come once this side has disconnected.
      this.#child.once('exit', (code, signal) => over(`the worker ended with ${signal ?? `code ${code}`}`));
      // It could not be started, or not be reached.
      this.#child.on('error', (error) => over(error.message));
    });
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  async run<Task, Result>(task: Task, tasks: Tasks<Task, Result>): Promise<void> {
    this.#tasks += 1;
    const { silentMsMax, tasksEach = 1 } = this.#workers;
    const stuck = setTimeout(() => {
      this.#failure = `nothing was heard of it for ${silentMsMax} ms`;
      this.#child.kill('SIGKILL');
    }, silentMsMax);
    const result = new Promise<Result>((resolve) => {
      this.#child.removeAllListeners('message');
      this.#child.on('message', (message: FromWorker) => {
        stuck.refresh();
        if ('progress' in message) tasks.progress(task, message.progress, message.part);
        else resolve(message.result as Result);
      });
    });
    this.#child.send({ task });
    const ended = await Promise.race([result.then((value) => ({ value })), this.#exited]);
    clearTimeout(stuck);
    if (typeof ended === 'string') tasks.lost(task, ended);
    else tasks.done(task, ended.value);
    if (this.#tasks >= tasksEach) await this.end();
  }

  /** Resolves when the process is gone. */
  async end(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    await this.#exited;
  }
}

/** In the worker: answers each task with its result, until nobody asks any more. */
export function serveTasks<Task>(
  run: (task: Task, progress: (count: number, part?: unknown) => void) => Promise<unknown>,
): void {
  const send = (message: FromWorker): void => void process.send?.(message);
  // Nothing more is asked of it, or the command ended.
  process.once('disconnect', () => process.exit(0));
  process.on('message', ({ task }: { task: Task }) => {
    void run(task, (progress, part) => send({ progress, part })).then((result) => send({ result }));
  });
}
