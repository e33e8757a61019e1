import { SIDE, toDigit } from './digit.js';
import { PEN, extend, framed, paint, type Point, type Stroke } from './strokes.js';

/** Pixels across the canvas behind the page: sharp on dense screens at any size the layout gives it. */
const DENSITY = 896;
/** Pixels across the picture that is shrunk to 20: eight a side for each, enough for smooth edges. */
const FINE = 160;

const STEPS: Record<string, Point> = {
  ArrowLeft: { x: -1, y: 0 },
  ArrowRight: { x: 1, y: 0 },
  ArrowUp: { x: 0, y: -1 },
  ArrowDown: { x: 0, y: 1 },
};

export interface PadElements {
  canvas: HTMLCanvasElement;
  undo: HTMLButtonElement;
  clear: HTMLButtonElement;
  /** Shows where the keyboard's pen is. */
  pen: HTMLElement;
}

/** A drawing area for mouse, touch, pen and keyboard. Holds strokes, or one image shown in their place. */
export class Pad {
  readonly #context: CanvasRenderingContext2D;
  readonly #fine: CanvasRenderingContext2D;
  #strokes: Stroke[] = [];
  #image: Float32Array | null = null;
  #pointer: number | null = null;
  #stale = false;
  #keys = new Set<string>();
  #pen: Point = { x: 0.5, y: 0.25 };
  #penDown = false;

  constructor(
    private readonly elements: PadElements,
    private readonly onChange: () => void,
  ) {
    const { canvas, undo, clear } = elements;
    canvas.width = canvas.height = DENSITY;
    this.#context = context2d(canvas);
    const fine = document.createElement('canvas');
    fine.width = fine.height = FINE;
    this.#fine = context2d(fine);

    canvas.addEventListener('pointerdown', (event) => this.#start(event));
    canvas.addEventListener('pointermove', (event) => this.#move(event));
    for (const end of ['pointerup', 'pointercancel', 'lostpointercapture'] as const) {
      canvas.addEventListener(end, (event) => this.#end(event));
    }
    canvas.addEventListener('keydown', (event) => this.#key(event));
    canvas.addEventListener('keyup', (event) => this.#keys.delete(event.key));
    canvas.addEventListener('blur', () => this.#liftKeyboardPen());
    undo.addEventListener('click', () => this.undo());
    clear.addEventListener('click', () => this.clear());
  }

  get empty(): boolean {
    return this.#image === null && this.#strokes.length === 0;
  }

  /** The image shown in place of a drawing, if any. */
  get shown(): Float32Array | null {
    return this.#image;
  }

  /** What the network gets: null when nothing is drawn. */
  digit(): Float32Array | null {
    if (this.#image) return this.#image;
    const frame = framed(this.#strokes);
    if (!frame) return null;
    const context = this.#fine;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, FINE, FINE);
    context.setTransform(FINE * frame.scale, 0, 0, FINE * frame.scale, FINE * frame.x, FINE * frame.y);
    paint(context, this.#strokes, frame.pen);
    return toDigit(context.getImageData(0, 0, FINE, FINE));
  }

  /** Shows a 28×28 image in place of the drawing; undo brings the drawing back. */
  show(image: Float32Array): void {
    this.#image = image;
    this.#changed();
  }

  undo(): void {
    if (this.#image) this.#image = null;
    else this.#strokes.pop();
    this.#penDown = false;
    this.#changed();
  }

  clear(): void {
    this.#image = null;
    this.#strokes = [];
    this.#penDown = false;
    this.#changed();
  }

  #begin(point: Point): void {
    if (this.#image) this.#strokes = [];
    this.#image = null;
    this.#strokes.push([point]);
    this.#changed();
  }

  #start(event: PointerEvent): void {
    if (this.#pointer !== null || !event.isPrimary || event.button !== 0) return;
    this.#pointer = event.pointerId;
    this.#penDown = false;
    this.elements.pen.hidden = true;
    this.elements.canvas.setPointerCapture(event.pointerId);
    this.#begin(this.#at(event));
  }

  #move(event: PointerEvent): void {
    const stroke = this.#strokes[this.#strokes.length - 1];
    if (event.pointerId !== this.#pointer || !stroke) return;
    // A fast hand makes several moves in one frame: without them its curves turn into corners.
    const moves = event.getCoalescedEvents?.() ?? [];
    let grew = false;
    for (const move of moves.length > 0 ? moves : [event]) grew = extend(stroke, this.#at(move)) || grew;
    if (grew) this.#changed();
  }

  #end(event: PointerEvent): void {
    if (event.pointerId === this.#pointer) this.#pointer = null;
  }

  #at(event: PointerEvent): Point {
    const box = this.elements.canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in STEPS) {
      this.#keys.add(event.key);
      this.#step();
    } else if (event.key === ' ') this.#togglePen();
    else if (event.key === 'Backspace') this.undo();
    else if (event.key === 'Delete' || event.key === 'Escape') this.clear();
    else return;
    event.preventDefault();
    this.elements.pen.hidden = false;
    this.#placePen();
  }

  #step(): void {
    // Two arrows held together go diagonally.
    for (const key of this.#keys) {
      const step = STEPS[key]!;
      this.#pen = { x: within(this.#pen.x + step.x / SIDE), y: within(this.#pen.y + step.y / SIDE) };
    }
    const stroke = this.#strokes[this.#strokes.length - 1];
    if (this.#penDown && stroke && extend(stroke, this.#pen)) this.#changed();
  }

  #togglePen(): void {
    this.#penDown = !this.#penDown;
    if (this.#penDown) this.#begin(this.#pen);
  }

  #liftKeyboardPen(): void {
    this.#penDown = false;
    this.#keys.clear();
    this.elements.pen.hidden = true;
  }

  #placePen(): void {
    const { pen } = this.elements;
    pen.style.left = `${this.#pen.x * 100}%`;
    pen.style.top = `${this.#pen.y * 100}%`;
    pen.dataset.down = String(this.#penDown);
  }

  #changed(): void {
    this.onChange();
    if (this.#stale) return;
    this.#stale = true;
    requestAnimationFrame(() => this.#repaint());
  }

  #repaint(): void {
    this.#stale = false;
    const context = this.#context;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, DENSITY, DENSITY);
    if (this.#image) {
      context.imageSmoothingQuality = 'high';
      context.drawImage(pixels(this.#image), 0, 0, DENSITY, DENSITY);
      return;
    }
    context.setTransform(DENSITY, 0, 0, DENSITY, 0, 0);
    paint(context, this.#strokes, PEN);
  }
}

/** A 28×28 canvas with `image` as ink: black, its strength in the alpha channel (the style sheet turns it for dark). */
export function pixels(image: ArrayLike<number> | null, canvas = document.createElement('canvas')): HTMLCanvasElement {
  canvas.width = canvas.height = SIDE;
  if (!image) return canvas;
  const data = new ImageData(SIDE, SIDE);
  for (let i = 0; i < SIDE * SIDE; i++) data.data[4 * i + 3] = Math.round(image[i]! * 255);
  context2d(canvas).putImageData(data, 0, 0);
  return canvas;
}

function context2d(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  // Read back for every prediction: kept in main memory, that takes 0.1 ms instead of a GPU round trip.
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (!context) throw new Error('this browser offers no 2D canvas');
  return context;
}

function within(share: number): number {
  return Math.min(1, Math.max(0, share));
}
