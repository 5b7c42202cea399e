/**
 * Just enough lexing of TypeScript for the repository rules: there is no compiler API to ask. Comments and the insides of
 * strings become spaces, so that offsets and lines stay what they were.
 */
export interface Blanked {
  /** Comments are spaces; strings are as written. */
  readonly withStrings: string;
  /** Comments and the insides of strings, templates and regular expressions are spaces. */
  readonly code: string;
}

type Mode = 'code' | 'template';

/** After one of these a slash begins a regular expression, not a division. */
const beforeRegExp = /(?:^|[([{,;:=!&|?+\-*%<>~^]|\b(?:return|typeof|case|in|of|await|yield|throw))\s*$/;

const blank = (text: string): string => text.replaceAll(/[^\n]/g, ' ');

class Scanner {
  private position = 0;
  private withStrings = '';
  private code = '';
  /** Template literals nest: each `${` opens code that ends at its own brace. */
  private readonly modes: { mode: Mode; braces: number }[] = [{ mode: 'code', braces: 0 }];
  private readonly source: string;

  constructor(source: string) {
    this.source = source;
  }

  run(): Blanked {
    while (this.position < this.source.length) {
      if (this.top.mode === 'template') this.template();
      else this.codeToken();
    }
    return { withStrings: this.withStrings, code: this.code };
  }

  private get top(): { mode: Mode; braces: number } {
    const top = this.modes.at(-1);
    if (top === undefined) throw new Error('unbalanced template literal');
    return top;
  }

  private take(length: number, withStrings: (text: string) => string, code: (text: string) => string): void {
    const text = this.source.slice(this.position, this.position + length);
    this.withStrings += withStrings(text);
    this.code += code(text);
    this.position += length;
  }

  private keep(length: number): void {
    const same = (text: string): string => text;
    this.take(length, same, same);
  }

  private quoted(length: number): void {
    const inside = (text: string): string =>
      text.length < 2 ? text : text[0] + blank(text.slice(1, -1)) + text.at(-1);
    this.take(length, (text) => text, inside);
  }

  private codeToken(): void {
    const rest = this.source.slice(this.position, this.position + 2);
    const first = rest.charAt(0);
    if (rest === '//') this.take(this.lengthUntil('\n', 0), blank, blank);
    else if (rest === '/*') this.take(this.lengthUntil('*/', 2), blank, blank);
    else if (first === '"' || first === "'") this.quoted(this.stringLength(first));
    else if (first === '/' && beforeRegExp.test(this.code.slice(-20))) this.quoted(this.regExpLength());
    else {
      if (first === '`') this.modes.push({ mode: 'template', braces: 0 });
      if (first === '{') this.top.braces += 1;
      if (first === '}' && this.closesInterpolation()) this.modes.pop();
      this.keep(1);
    }
  }

  private closesInterpolation(): boolean {
    this.top.braces -= 1;
    return this.top.braces < 0 && this.modes.length > 1;
  }

  private template(): void {
    const rest = this.source.slice(this.position, this.position + 2);
    if (rest === '${') {
      this.keep(2);
      this.modes.push({ mode: 'code', braces: 0 });
    } else if (rest.startsWith('`')) {
      this.keep(1);
      this.modes.pop();
    } else {
      this.take(rest.startsWith('\\') ? 2 : 1, (text) => text, blank);
    }
  }

  private lengthUntil(end: string, extra: number): number {
    const found = this.source.indexOf(end, this.position + extra);
    return (found < 0 ? this.source.length : found + extra) - this.position;
  }

  private stringLength(quote: string): number {
    let end = this.position + 1;
    while (end < this.source.length && this.source[end] !== quote && this.source[end] !== '\n') {
      end += this.source[end] === '\\' ? 2 : 1;
    }
    return end + 1 - this.position;
  }

  private regExpLength(): number {
    let end = this.position + 1;
    let inClass = false;
    for (; end < this.source.length && this.source[end] !== '\n'; end += 1) {
      const character = this.source[end];
      if (character === '\\') end += 1;
      else if (character === '[') inClass = true;
      else if (character === ']') inClass = false;
      else if (character === '/' && !inClass) break;
    }
    return end + 1 - this.position;
  }
}

export const blankOut = (source: string): Blanked => new Scanner(source).run();

const importForms = [
  /\b(?:import|export)\b[^;'"`]*?\bfrom\s*(['"])/g,
  /\bimport\s*(['"])/g,
  /\bimport\s*\(\s*(['"])/g,
] as const;

/** The specifiers that a file imports, statically or not, each once. */
export function importsOf(source: string): string[] {
  const { withStrings, code } = blankOut(source);
  const found = new Set<string>();
  for (const form of importForms) {
    for (const match of code.matchAll(form)) {
      const start = match.index + match[0].length;
      const end = withStrings.indexOf(match[1] ?? '', start);
      found.add(withStrings.slice(start, end));
    }
  }
  return [...found];
}
