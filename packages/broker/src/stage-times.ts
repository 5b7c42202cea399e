/** Port: how long each stage of the produce path took, for the histograms of `/metrics`. */
export type Stage = 'ack' | 'replicate';

export interface StageTimes {
  observe(stage: Stage, elapsedMs: number): void;
}
