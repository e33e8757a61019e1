/** The element with this id: the page and its script are one, so a missing one is a mistake in them. */
export function find<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element as T;
}

/** A function that has `act` done before the next frame is drawn, however often it is called until then. */
export function onceAFrame(act: () => void): () => void {
  let due = false;
  return () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      act();
    });
  };
}

/** The first cell of a row of a table, which says what the row is about. */
export function rowHead(text: string): HTMLElement {
  const head = make('th', { text });
  head.setAttribute('scope', 'row');
  return head;
}

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: { class?: string; text?: string; label?: string } = {},
  ...children: Node[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (properties.class) element.className = properties.class;
  if (properties.text !== undefined) element.textContent = properties.text;
  if (properties.label) element.setAttribute('aria-label', properties.label);
  element.append(...children);
  return element;
}
