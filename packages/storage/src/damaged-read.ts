import type { Offset } from '@sluice/base';
import { offset } from '@sluice/base';

/** The bytes on the disk are not what was written. */
export class DamagedRead extends Error {
  override readonly name = 'DamagedRead';
  readonly fileId: number;
  readonly intactEnd: Offset;

  constructor(where: string, at: { readonly fileId: number; readonly intactEnd: number }) {
    super(where);
    this.fileId = at.fileId;
    this.intactEnd = offset(at.intactEnd);
  }
}
