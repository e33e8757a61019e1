/**
 * Takes files that are dropped anywhere while `zone` is on show: missing the zone would make the browser leave the page
 * for the file.
 */
export function catchDrops(zone: HTMLElement, take: (files: FileList | null) => void): void {
  let inside = 0;
  const hover = (change: number): void => {
    inside = Math.max(0, inside + change);
    zone.classList.toggle('over', inside > 0);
  };
  const ours = (event: DragEvent): boolean => (event.dataTransfer?.types.includes('Files') ?? false) && zone.checkVisibility();
  addEventListener('dragenter', (event) => ours(event) && hover(1));
  addEventListener('dragleave', (event) => ours(event) && hover(-1));
  addEventListener('dragover', (event) => ours(event) && event.preventDefault());
  addEventListener('drop', (event) => {
    if (!ours(event)) return;
    event.preventDefault();
    hover(-Infinity);
    take(event.dataTransfer?.files ?? null);
  });
}
