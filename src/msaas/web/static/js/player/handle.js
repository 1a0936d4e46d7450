/** A lane's handle: dragged, or moved by arrow keys, it changes the order of the lanes. */

const STEPS = { ArrowUp: -1, ArrowDown: 1 };

/** @param {HTMLElement} handle of one lane, whose element must not be moved in the document meanwhile: the drag would end
 *  @param {() => HTMLElement[]} lanes as they stand @param {(index: number) => void} place where this lane goes */
export function listenToHandle(handle, lanes, place) {
  const own = () => handle.closest(".lane");
  handle.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    place(lanes().indexOf(own()) + step);
  });
  handle.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    handle.setPointerCapture(event.pointerId);
    own().classList.add("dragged");
  });
  handle.addEventListener("pointermove", ({ pointerId, clientY }) => {
    if (!handle.hasPointerCapture(pointerId)) return;
    const index = indexAt(clientY, lanes().filter((lane) => lane !== own()));
    if (index !== lanes().indexOf(own())) place(index);
  });
  handle.addEventListener("lostpointercapture", () => own().classList.remove("dragged"));
}

/** How many of these lanes lie above. */
function indexAt(y, others) {
  const middle = (lane) => lane.getBoundingClientRect().top + lane.offsetHeight / 2;
  return others.filter((lane) => middle(lane) < y).length;
}
