/**
 * The lock screen and the media keys of a device, by the Media Session API.
 *
 * Browsers show them only for media elements, not for Web Audio; so a silent file plays while the mixer does.
 */

const RATE = 8000;
const SILENCE_SECONDS = 10; // shorter sounds get no controls
const HEADER_BYTES = 44;

export class LockScreen {
  #session = navigator.mediaSession; #silence = null;

  /** @param {{play: () => void, pause: () => void, seekto: (seconds: number) => void, seekby: (seconds: number) => void,
   *   previoustrack: () => void}} actions */
  constructor({ play, pause, seekto, seekby, previoustrack }) {
    this.#on("play", play);
    this.#on("pause", pause);
    this.#on("previoustrack", previoustrack);
    this.#on("seekto", ({ seekTime }) => seekto(seekTime));
    this.#on("seekbackward", ({ seekOffset }) => seekby(-(seekOffset ?? 5)));
    this.#on("seekforward", ({ seekOffset }) => seekby(seekOffset ?? 5));
  }

  /** @param {string} title */
  name(title) {
    if (this.#session) this.#session.metadata = new MediaMetadata({ title, artist: "MSaaS" });
  }

  /** @param {{playing: boolean, position: number, length: number, speed: number}} state seconds */
  show({ playing, position, length, speed }) {
    if (!this.#session) return;
    const before = this.#session.playbackState;
    this.#session.playbackState = playing ? "playing" : "paused";
    this.#session.setPositionState?.({ duration: length, position: Math.min(position, length), playbackRate: speed });
    if (playing && before !== "playing") this.#play();
    if (!playing) this.#silence?.pause();
  }

  close() {
    if (!this.#session) return;
    this.#silence?.pause();
    this.#session.metadata = null;
    this.#session.playbackState = "none";
  }

  #play() {
    this.#silence ??= Object.assign(new Audio(URL.createObjectURL(silence())), { loop: true });
    this.#silence.play().catch(() => {}); // without it only the lock screen's controls are missing
  }

  #on(action, handler) {
    try {
      this.#session?.setActionHandler(action, handler);
    } catch {
      // an action that this browser does not know
    }
  }
}

/** A WAV file of 8-bit silence. */
function silence() {
  const bytes = RATE * SILENCE_SECONDS;
  const samples = new Uint8Array(HEADER_BYTES + bytes).fill(128);
  const view = new DataView(samples.buffer);
  const tag = (at, text) => [...text].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)));
  tag(0, "RIFF");
  view.setUint32(4, HEADER_BYTES - 8 + bytes, true);
  tag(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  [1, 1].forEach((value, index) => view.setUint16(20 + 2 * index, value, true));
  [RATE, RATE].forEach((value, index) => view.setUint32(24 + 4 * index, value, true));
  [1, 8].forEach((value, index) => view.setUint16(32 + 2 * index, value, true));
  tag(36, "data");
  view.setUint32(40, bytes, true);
  return new Blob([samples], { type: "audio/wav" });
}
