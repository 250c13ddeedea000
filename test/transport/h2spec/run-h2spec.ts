// One run of h2spec, as figures: what it found, section by section, read from its JUnit report.
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Section {
  /** `http2/6.9.1`. */
  readonly id: string;
  readonly title: string;
  readonly cases: number;
  readonly failed: number;
  readonly skipped: number;
}

export interface H2specReport {
  readonly sections: readonly Section[];
  /** What it says of the cases that failed or were skipped, in its own words. */
  readonly remarks: readonly string[];
}

/** Runs every case, the strict ones too, against a page at `port` of 127.0.0.1. */
export async function runH2spec(program: string, port: number, isTls: boolean, path: string): Promise<H2specReport> {
  const folder = mkdtempSync(join(tmpdir(), "quorate-h2spec-"));
  try {
    const report = join(folder, "report.xml");
    const shape = ["--strict", "--host", "127.0.0.1", "--port", String(port), "--path", path];
    const tls = isTls ? ["--tls", "--insecure"] : [];
    const output = await run(program, [...shape, ...tls, "--junit-report", report]);
    try {
      return readReport(readFileSync(report, "utf8"));
    } catch (cause) {
      throw new Error(`h2spec made no report:\n${output}`, { cause });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Its status says only whether a case failed, and so does the report. */
function run(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    execFile(program, args, { maxBuffer: 10_000_000 }, (_, stdout, stderr) => resolve(stdout + stderr));
  });
}

function readReport(xml: string): H2specReport {
  const suites = [...xml.matchAll(/<testsuite ([^>]*)>([\s\S]*?)<\/testsuite>/g)].map(([, attributes, body]) => ({
    attributes: attributes!,
    body: body!,
  }));
  if (suites.length === 0) throw new Error("no sections");
  const sections = suites.map(({ attributes }): Section => {
    const read = (name: string): string => unescaped(new RegExp(`\\b${name}="([^"]*)"`).exec(attributes)?.[1] ?? "");
    const [cases, failed, skipped, errors] = ["tests", "failures", "skipped", "errors"].map((name) =>
      Number(read(name)),
    );
    return { id: read("package"), title: read("name"), cases: cases!, failed: failed! + errors!, skipped: skipped! };
  });
  const remarks = suites.flatMap(({ body }) => {
    const cases = [...body.matchAll(/<testcase ([^>]*?)(\/>|>([\s\S]*?)<\/testcase>)/g)];
    return cases
      .filter(([, , , inner]) => /<(failure|error|skipped)/.test(inner ?? ""))
      .map(([, attributes, , inner]) => {
        const name = unescaped(/classname="([^"]*)"/.exec(attributes!)?.[1] ?? "");
        const place = unescaped(/package="([^"]*)"/.exec(attributes!)?.[1] ?? "");
        const kind = /<(failure|error|skipped)/.exec(inner!)![1];
        return `${kind}: ${place} ${name}\n${unescaped(inner!.replace(/<[^>]*>/g, " ")).trim()}`;
      });
  });
  return { sections, remarks };
}

const unescaped = (text: string): string =>
  text
    .replace(/&#(x?)([0-9a-fA-F]+);/g, (_, hex: string, code: string) =>
      String.fromCodePoint(Number.parseInt(code, hex === "x" ? 16 : 10)),
    )
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&amp;", "&");
