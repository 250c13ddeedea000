// Says on standard error how far a long piece of work is: a line that is drawn over on a terminal, now and then a line
// of its own elsewhere. Standard output is left to the results.

const barWidth = 30;
const lineEveryMs = 10_000;

export class Progress {
  readonly #title: string;
  readonly #isTerminal = process.stderr.isTTY === true;
  #saidMs = 0;

  constructor(title: string) {
    this.#title = title;
  }

  /** @param fraction From 0 to 1. */
  update(fraction: number, text: string): void {
    if (this.#isTerminal) {
      const filled = Math.round(Math.min(1, fraction) * barWidth);
      const bar = "=".repeat(filled).padEnd(barWidth, " ");
      const line = `${this.#title} [${bar}] ${text}`.slice(0, (process.stderr.columns ?? 100) - 1);
      process.stderr.write(`\r\x1b[2K${line}`);
      return;
    }
    const nowMs = Date.now();
    if (nowMs - this.#saidMs < lineEveryMs) return;
    this.#saidMs = nowMs;
    process.stderr.write(`${this.#title}: ${Math.floor(fraction * 100)} % ${text}\n`);
  }

  /** Clears the line. */
  done(): void {
    if (this.#isTerminal) process.stderr.write("\r\x1b[2K");
  }
}
