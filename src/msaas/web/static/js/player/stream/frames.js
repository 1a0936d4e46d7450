/** Frames of MP3 files: headers (ISO 11172-3, 2.4.1.3), and what the first frame says of the others (Xing, Info and VBRI
 *  tags: gabriel.mp3-tech.org/mp3infotag.html). */

const DECODER_DELAY = 529; // samples that every decoder adds to the encoder's delay
const SAME = 0xfffe0c00; // of a header: sync, version, layer, sample rate; not the padding
const RATES = [44_100, 48_000, 32_000];
const KBPS = {
  3: [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320], // MPEG-1
  2: [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160], // MPEG-2
  0: [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160], // MPEG-2.5
};
const FIELDS = [[1, 4], [2, 4], [4, 100], [8, 4]]; // of a Xing tag: flag, bytes
const DELAYS = 9 + 1 + 1 + 8 + 1 + 1; // bytes between the encoder's name and its delay
const ENCODERS = ["LAME", "Lavf", "Lavc"]; // whose delays decoders take away

/** The length of an ID3v2 tag at the start of the file. */
export function tagBytes(head) {
  const isTag = head.length >= 10 && head[0] === 0x49 && head[1] === 0x44 && head[2] === 0x33;
  return isTag ? 10 + ((head[6] << 21) | (head[7] << 14) | (head[8] << 7) | head[9]) : 0;
}

const word = (data, at) => ((data[at] << 24) | (data[at + 1] << 16) | (data[at + 2] << 8) | data[at + 3]) >>> 0;
const text = (data, at) => String.fromCharCode(...data.subarray(at, at + 4));

export function headerAt(data, at) {
  if (at + 4 > data.length) return null;
  const bits = word(data, at);
  const version = (bits >>> 19) & 3;
  const kbps = KBPS[version]?.[(bits >>> 12) & 15];
  const rate = RATES[(bits >>> 10) & 3] >> { 3: 0, 2: 1, 0: 2 }[version];
  if (bits >>> 21 !== 0x7ff || ((bits >>> 17) & 3) !== 1 || !kbps || !rate) return null; // layer III alone
  const samples = version === 3 ? 1152 : 576;
  const size = Math.floor((kbps * 1000 * samples) / 8 / rate) + ((bits >>> 9) & 1);
  return { bits, kbps, rate, samples, size, channels: ((bits >>> 6) & 3) === 3 ? 1 : 2 };
}

export const isLike = (one, other) => ((one.bits ^ other.bits) & SAME) >>> 0 === 0;

/**
 * @returns {{frames: number, delay: number} | null} `frames`: 0 if the tag has no number; `delay`: samples that decoders
 *   leave out; null if the first frame is sound
 */
export function infoTag(head) {
  const { bits, channels } = headerAt(head, 0);
  if (text(head, 36) === "VBRI") return { frames: word(head, 50), delay: 0 };
  const at = 4 + ((bits >>> 19) & 3 === 3 ? (channels === 1 ? 17 : 32) : channels === 1 ? 9 : 17);
  if (!["Info", "Xing"].includes(text(head, at))) return null;
  const flags = word(head, at + 4);
  const encoder = FIELDS.reduce((place, [flag, bytes]) => place + (flags & flag ? bytes : 0), at + 8);
  const delays = encoder + DELAYS;
  const isKnown = ENCODERS.includes(text(head, encoder));
  return {
    frames: flags & 1 ? word(head, at + 8) : 0,
    delay: isKnown ? ((head[delays] << 4) | (head[delays + 1] >> 4)) + DECODER_DELAY : 0,
  };
}
