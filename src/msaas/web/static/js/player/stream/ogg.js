/** Pages of Ogg files (RFC 3533): found in bytes, taken apart into packets, and written. */

export const MOST_PAGE_BYTES = 27 + 255 + 255 * 255;
const HEADER_BYTES = 27;
const SEGMENT_BYTES = 255;
const CONTINUED = 1;
const LAST = 4;

/** @typedef {{at: number, bytes: number, granule: number, serial: number, continued: boolean, lacing: Uint8Array}} OggPage
 *   `at`: its first byte in the data; `granule`: -1 if no packet ends on it */

/** The page whose header begins at `at`; null if there is none, or not all of its header. @returns {OggPage | null} */
export function pageAt(data, at) {
  if (at + HEADER_BYTES > data.length) return null;
  const view = new DataView(data.buffer, data.byteOffset + at, HEADER_BYTES);
  const isHeader = view.getUint32(0) === 0x4f676753 && view.getUint8(4) === 0;
  const segments = view.getUint8(26);
  if (!isHeader || at + HEADER_BYTES + segments > data.length) return null;
  const lacing = data.subarray(at + HEADER_BYTES, at + HEADER_BYTES + segments);
  return {
    at,
    lacing,
    bytes: HEADER_BYTES + segments + lacing.reduce((sum, length) => sum + length, 0),
    granule: Number(view.getBigInt64(6, true)),
    serial: view.getUint32(14, true),
    continued: (view.getUint8(5) & CONTINUED) !== 0,
  };
}

/** The headers of all pages of one stream, wherever in the data the first one begins. @returns {OggPage[]} */
export function pagesIn(data, serial) {
  const pages = [];
  for (let at = 0; at < data.length; ) {
    const page = data[at] === 0x4f ? pageAt(data, at) : null;
    if (page && page.serial === serial) pages.push(page);
    at += page && page.serial === serial ? page.bytes : 1;
  }
  return pages;
}

/** The packets of pages that follow each other; one that began before the first of them, or goes on behind the last,
 *  is left out. @param {Uint8Array} data @param {OggPage[]} pages @returns {{packet: Uint8Array, page: number}[]}
 *  `page`: the index of the one that it ends on */
export function packetsOf(data, pages) {
  const packets = [];
  let parts = null; // of a packet that has begun
  pages.forEach(({ at, lacing, continued }, page) => {
    if (!continued || page === 0) parts = continued ? null : [];
    let begin = at + HEADER_BYTES + lacing.length;
    let length = 0;
    for (const part of lacing) {
      length += part;
      if (part === SEGMENT_BYTES) continue;
      if (parts) packets.push({ packet: joined([...parts, data.subarray(begin, begin + length)]), page });
      parts = [];
      begin += length;
      length = 0;
    }
    if (length) parts?.push(data.subarray(begin, begin + length));
  });
  return packets;
}

function joined(parts) {
  if (parts.length === 1) return parts[0];
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}

/** Writes one page after the other. */
export class OggWriter {
  #serial; #pages = [];

  constructor(serial) {
    this.#serial = serial;
  }

  get pages() {
    return this.#pages;
  }

  /** @param {Uint8Array[]} packets whole ones, that fit on a page @param {number} granule at their end */
  page(packets, granule, { first = false, last = false } = {}) {
    const lacing = packets.flatMap(lacingOf);
    const page = new Uint8Array(HEADER_BYTES + lacing.length + packets.reduce((sum, { length }) => sum + length, 0));
    const view = new DataView(page.buffer);
    view.setUint32(0, 0x4f676753);
    view.setUint8(5, (first ? 2 : 0) | (last ? LAST : 0));
    view.setBigInt64(6, BigInt(granule), true);
    view.setUint32(14, this.#serial, true);
    view.setUint32(18, this.#pages.length, true);
    view.setUint8(26, lacing.length);
    page.set(lacing, HEADER_BYTES);
    packets.reduce((at, packet) => (page.set(packet, at), at + packet.length), HEADER_BYTES + lacing.length);
    view.setUint32(22, checksum(page), true);
    this.#pages.push(page);
  }
}

/** Lengths of the segments that a packet takes. @returns {number[]} */
export function lacingOf({ length }) {
  return [...Array(Math.floor(length / SEGMENT_BYTES)).fill(SEGMENT_BYTES), length % SEGMENT_BYTES];
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
  return crc;
});

function checksum(page) {
  let crc = 0;
  for (const byte of page) crc = (crc << 8) ^ TABLE[((crc >>> 24) ^ byte) & 255];
  return crc >>> 0;
}
