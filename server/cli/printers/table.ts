// `-w table`: boxes around cells, as etcdctl draws them. Headings in the middle, cells to the right.
import type { Views } from "./answer.ts";
import { goDuration } from "./go-text.ts";
import { statusCells } from "./simple.ts";

export const tableViews: Views = {
  "member-list": ({ response }) =>
    drawTable(
      ["ID", "Status", "Name", "Peer Addrs", "Client Addrs", "Is Learner"],
      response.members.map(({ ID, name, peerURLs, clientURLs, isLearner }) => [
        ID.toString(16),
        name === "" ? "unstarted" : "started",
        name,
        peerURLs.join(","),
        clientURLs.join(","),
        String(isLearner),
      ]),
    ),
  "endpoint-status": ({ list }) =>
    drawTable(
      [
        "Endpoint",
        "ID",
        "Version",
        "DB Size",
        "Is Leader",
        "Is Learner",
        "Raft Term",
        "Raft Index",
        "Raft Applied Index",
        "Errors",
      ],
      list.map(statusCells),
    ),
  "endpoint-health": ({ list }) =>
    drawTable(
      ["Endpoint", "Health", "Took", "Error"],
      list.map(({ endpoint, isHealthy, tookNanoseconds, error }) => [
        endpoint,
        String(isHealthy),
        goDuration(tookNanoseconds),
        error,
      ]),
    ),
  "endpoint-hash": ({ list }) =>
    drawTable(
      ["Endpoint", "Hash"],
      list.map(({ endpoint, hash }) => [endpoint, String(hash.hash)]),
    ),
};

function drawTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headings.map((heading, column) =>
    Math.max(...[heading, ...rows.map((row) => row[column]!)].map(widthOf)),
  );
  const rule = (left: string, middle: string, right: string): string =>
    `${left}${widths.map((width) => "─".repeat(width + 2)).join(middle)}${right}\n`;
  const row = (cells: readonly string[], place: (cell: string, width: number) => string): string =>
    `│${cells.map((cell, column) => ` ${place(cell, widths[column]!)} `).join("│")}│\n`;
  const body = rows.map((cells) => row(cells, toTheRight)).join("");
  const head = row(
    headings.map((heading) => heading.toUpperCase()),
    inTheMiddle,
  );
  return `${rule("┌", "┬", "┐")}${head}${rows.length === 0 ? "" : rule("├", "┼", "┤")}${body}${rule("└", "┴", "┘")}`;
}

const widthOf = (text: string): number => [...text].length;
const toTheRight = (text: string, width: number): string => " ".repeat(width - widthOf(text)) + text;

function inTheMiddle(text: string, width: number): string {
  const room = width - widthOf(text);
  const left = Math.floor(room / 2);
  return " ".repeat(left) + text + " ".repeat(room - left);
}
