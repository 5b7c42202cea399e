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
}

type FromWorker = { readonly progress: number; readonly part?: unknown } | { readonly result: unknown };

/** Resolves when every task that there was is done or lost. */
export async function runTasks<Task, Result>(tasks: Tasks<Task, Result>, workers: Workers): Promise<void> {
  const idle = new Set<() => void>();
  let busy = 0;
  const worker = async (): Promise<void> => {
    for (;;) {
      const task = tasks.next();
      if (task === undefined) {
        if (busy === 0) break;
        await new Promise<void>((resolve) => idle.add(resolve));
        continue;
      }
      busy += 1;
      await inWorker(task, tasks, workers);
      busy -= 1;
      for (const wake of idle) wake();
      idle.clear();
    }
  };
  await Promise.all(Array.from({ length: workers.count ?? availableParallelism() }, worker));
}

/** A process of its own for each task: what one leaves in memory is no matter for the next. */
function inWorker<Task, Result>(task: Task, tasks: Tasks<Task, Result>, workers: Workers): Promise<void> {
  const child: ChildProcess = fork(fileURLToPath(workers.script), ['--worker'], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    execArgv: [...process.execArgv, ...(workers.nodeOptions ?? [])],
  });
  return new Promise((resolve) => {
    let isDone = false;
    let why: string | undefined;
    const stuck = setTimeout(() => {
      why = `nothing was heard of it for ${workers.silentMsMax} ms`;
      child.kill('SIGKILL');
    }, workers.silentMsMax);
    child.on('message', (message: FromWorker) => {
      stuck.refresh();
      if ('progress' in message) tasks.progress(task, message.progress, message.part);
      else {
        isDone = true;
        tasks.done(task, message.result as Result);
      }
    });
    child.once('error', (error) => {
      why ??= error.message;
    });
    child.once('close', (code, signal) => {
      clearTimeout(stuck);
      if (!isDone) tasks.lost(task, why ?? `the worker ended with ${signal ?? `code ${code}`}`);
      resolve();
    });
    child.send({ task });
  });
}

/** In the worker: answers with the result and ends. */
export function serveTasks<Task>(
  run: (task: Task, progress: (count: number, part?: unknown) => void) => Promise<unknown>,
): void {
  const send = (message: FromWorker): void => void process.send?.(message);
  // A command that ends takes its workers with it.
  process.once('disconnect', () => process.exit(1));
  process.once('message', ({ task }: { task: Task }) => {
    void run(task, (progress, part) => send({ progress, part })).then((result) => {
      send({ result });
      process.removeAllListeners('disconnect');
      process.disconnect();
    });
  });
}
