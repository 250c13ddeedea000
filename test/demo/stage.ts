// Tells the story: headings, lines, and claims that are checked while they are told. Coloured on a terminal, plain where
// the output goes anywhere else.
const styles = { bold: "1", dim: "2", green: "32", red: "31", cyan: "36", yellow: "33" } as const;
type Style = keyof typeof styles;

/** A claim of the story that did not hold. */
export class ClaimFailed extends Error {
  override readonly name = "ClaimFailed";
}

export class Stage {
  readonly #isColoured: boolean;
  readonly #write: (text: string) => void;
  readonly #startMs = performance.now();
  #acts = 0;
  #claims = 0;
  #isOver = false;

  constructor(output: NodeJS.WriteStream) {
    this.#isColoured = output.isTTY === true && process.env["NO_COLOR"] === undefined;
    this.#write = (text) => {
      if (!this.#isOver) output.write(text);
    };
  }

  /** Claims that have held so far. */
  get claims(): number {
    return this.#claims;
  }

  get elapsedMs(): number {
    return performance.now() - this.#startMs;
  }

  /** Text in a style, where there are colours. */
  paint(style: Style, text: string): string {
    return this.#isColoured ? `\u001b[${styles[style]}m${text}\u001b[0m` : text;
  }

  title(text: string): void {
    this.#write(`\n${this.paint("bold", text)}\n`);
  }

  /** Opens the next act. */
  act(name: string): void {
    this.#acts += 1;
    this.#write(`\n${this.paint("cyan", `Act ${this.#acts}. ${name}`)}\n`);
  }

  say(text: string): void {
    this.#write(`  ${text}\n`);
  }

  /** Something beside the story: what to know about it. */
  aside(text: string): void {
    this.#write(`  ${this.paint("dim", text)}\n`);
  }

  /** What somebody in the story does or says. */
  line(who: string, text: string): void {
    this.#write(`  ${this.paint("yellow", who.padEnd(10))} ${text}\n`);
  }

  /** States something and checks it. The story ends where it is not true. */
  claim(text: string, holds: boolean): void {
    this.#write(`  ${holds ? this.paint("green", "✓") : this.paint("red", "✗")} ${text}\n`);
    if (!holds) throw new ClaimFailed(text);
    this.#claims += 1;
  }

  end(text: string): void {
    this.#write(`\n${this.paint("green", text)}\n\n`);
  }

  /** Ends the story before its end. Nothing is told after it, though those on the stage may need a moment to stop. */
  failure(text: string): void {
    this.#write(`\n${this.paint("red", text)}\n\n`);
    this.#isOver = true;
  }
}

/** Milliseconds as people read them. */
export const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
