// How many connections a load uses, and how many calls it keeps under way on each.

export interface Shape {
  readonly connections: number;
  readonly streams: number;
}

export const defaultShapes: readonly Shape[] = [
  { connections: 1, streams: 1 },
  { connections: 10, streams: 1 },
  { connections: 100, streams: 1 },
  { connections: 500, streams: 1 },
  { connections: 10, streams: 50 },
];

/** `10x50`: ten connections with fifty streams each. */
export const formatShape = ({ connections, streams }: Shape): string => `${connections}x${streams}`;

/** The shape that a text names, or undefined. */
export function parseShape(text: string): Shape | undefined {
  const match = /^([1-9]\d{0,4})x([1-9]\d{0,3})$/.exec(text);
  return match === null ? undefined : { connections: Number(match[1]), streams: Number(match[2]) };
}
