/** Strokes as geometry: what was drawn, apart from where and how thickly it is painted. */

/** In units of the drawing area's side: 0 to 1 across and down. */
export interface Point {
  x: number;
  y: number;
}
export type Stroke = Point[];

/** The pen on the page, as a share of the drawing area: about MNIST's stroke on a digit that fills two thirds. */
export const PEN = 0.08;

/**
 * The pen the network gets, as a share of the digit it draws. People draw small and large, with one pen; a
 * small digit scaled up to MNIST's 20 pixels would come out fat and a large one thin, so the strokes are
 * painted afresh at the thickness MNIST has. At this width digits drawn as plain strokes hold as much ink as
 * MNIST's test images, 104 of 784 on average, and are recognised best: half that, or half as much again, loses 2 %.
 */
export const NETWORK_PEN = 0.13;

/** Points nearer than this to the last one add jitter, not shape. */
const NEAREST = 0.004;

export function extend(stroke: Stroke, point: Point): boolean {
  const last = stroke[stroke.length - 1];
  if (last && Math.hypot(point.x - last.x, point.y - last.y) < NEAREST) return false;
  stroke.push(point);
  return true;
}

type Context = CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D;

/** Paints strokes smoothly: each point is the control point of a curve between the middles on either side. */
export function paint(context: Context, strokes: readonly Stroke[], pen: number): void {
  context.lineWidth = pen;
  context.lineCap = 'round';
  context.lineJoin = 'round';
  for (const stroke of strokes) {
    const first = stroke[0];
    if (!first) continue;
    context.beginPath();
    context.moveTo(first.x, first.y);
    for (let i = 1; i < stroke.length - 1; i++) {
      const here = stroke[i]!;
      const next = stroke[i + 1]!;
      context.quadraticCurveTo(here.x, here.y, (here.x + next.x) / 2, (here.y + next.y) / 2);
    }
    const last = stroke[stroke.length - 1]!;
    // A line without length is not painted at all, so a dot gets a little of it.
    context.lineTo(last.x + (stroke.length === 1 ? pen / 1000 : 0), last.y);
    context.stroke();
  }
}

/** How to paint `strokes` for the network: enlarged to fill a square of side 1, with the pen to match. */
export function framed(strokes: readonly Stroke[]): { scale: number; x: number; y: number; pen: number } | null {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const { x, y } of strokes.flat()) {
    left = Math.min(left, x);
    top = Math.min(top, y);
    right = Math.max(right, x);
    bottom = Math.max(bottom, y);
  }
  if (right < left) return null;

  const size = Math.max(right - left, bottom - top);
  const pen = Math.max(size * (NETWORK_PEN / (1 - NETWORK_PEN)), PEN / 4);
  const scale = 1 / (size + pen);
  return { scale, x: (pen / 2 - left) * scale, y: (pen / 2 - top) * scale, pen };
}
