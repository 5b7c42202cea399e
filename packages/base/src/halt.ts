/**
 * Port: the end of a node that must not go on (a failed sync, a broken invariant). The server exits with a sentence in
 * its log; an embedded or simulated node fails that instance and never its host process. Never returns to normal.
 */
export interface Halt {
  halt(reason: Error): void;
}
