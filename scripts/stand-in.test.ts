import { expect, test } from 'vitest';
import { sharedLibraries } from './stand-in.ts';

test('the libraries of a program are the paths that ldd prints', () => {
  const output = `	linux-vdso.so.1 (0x00007fd545657000)
	libdl.so.2 => /lib/x86_64-linux-gnu/libdl.so.2 (0x00007fd545641000)
	libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007fd54513e000)
	/lib64/ld-linux-x86-64.so.2 (0x00007fd545659000)
`;
  expect(sharedLibraries(output)).toEqual([
    '/lib/x86_64-linux-gnu/libdl.so.2',
    '/lib/x86_64-linux-gnu/libc.so.6',
    '/lib64/ld-linux-x86-64.so.2',
  ]);
});
