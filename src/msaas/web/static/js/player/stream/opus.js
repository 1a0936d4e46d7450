/**
 * Cuts Opus in Ogg (RFC 7845) into pieces, each an Ogg file of its own.
 *
 * A page says at which sample it ends. The page before a piece is searched for: guessed from the pages that are known
 * already. A piece begins early, since a decoder that begins in the middle has to converge; RFC 7845 asks for 80 ms at least.
 */

import { MOST_PAGE_BYTES, OggWriter, lacingOf, packetsOf, pageAt, pagesIn } from "./ogg.js";
import { Unfit } from "./unfit.js";

const RATE = 48_000;
const LEAD = RATE; // samples
const NEAR = 2 * RATE; // a page so shortly before the wanted sample will do
const HEAD_BYTES = 1 << 16;
const MOST_TAG_BYTES = 1 << 25; // of covers
const SPARE = 1.2; // of the bytes that a piece is expected to have
const MOST_TRIES = 24;

/** @param {import("./bytes.js").Bytes} bytes @param {AbortSignal} signal @returns {Promise<import("./stream.js").Cutter>} */
export async function openOpus(bytes, signal) {
  const { head, serial, first } = await beginningOf(bytes, signal);
  const { channels, skip } = head;
  const total = await endOf(bytes, serial, signal);
  const known = new Map([[first, 0], [bytes.size, total]]); // the byte behind a page ▸ the sample that it ends at
  const starts = new Map([[first, first]]); // the byte behind a page ▸ its own first byte

  function learn(from, data) {
    const pages = pagesIn(data, serial);
    for (const { at, bytes: size, granule } of pages) {
      if (granule < 0 || from + at < first) continue;
      known.set(from + at + size, granule);
      starts.set(from + at + size, from + at);
    }
    return pages;
  }

  /** The byte behind the last page that ends at `sample` or shortly before. */
  async function locate(sample, signal) {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const [low, high] = neighbours(known, sample);
      if (starts.has(low) && sample - known.get(low) <= NEAR) return low;
      const share = (sample - known.get(low)) / (known.get(high) - known.get(low));
      const window = 2 * MOST_PAGE_BYTES;
      const from = Math.max(low, Math.min(Math.floor(low + (high - low) * share), high) - MOST_PAGE_BYTES);
      const before = known.size;
      learn(from, await bytes.read(from, from + window, signal));
      if (known.size === before && starts.has(low)) return low; // nothing lies between
    }
    throw new Unfit("a page was not found");
  }

  /** Pages from a byte on, until one ends at `sample` or behind it. */
  async function pagesFrom(low, sample, signal) {
    const rate = (bytes.size - first) / total;
    let size = Math.ceil((sample - known.get(low)) * rate * SPARE) + MOST_PAGE_BYTES;
    for (;;) {
      const data = await bytes.read(starts.get(low), low + size, signal);
      const pages = learn(starts.get(low), data).filter((page) => page.at + page.bytes <= data.length);
      if (pages.at(-1)?.granule >= sample || low + size >= bytes.size) return { data, pages };
      size *= 2;
    }
  }

  return {
    rate: RATE,
    channels,
    frames: total - skip,
    async cut(from, count, signal) {
      const wanted = from + skip;
      const low = await locate(Math.max(0, wanted - LEAD), signal);
      const { data, pages } = await pagesFrom(low, wanted + count, signal);
      const isStart = low === first;
      const packets = packetsOf(data, pages).filter(({ page }) => isStart || page > 0).map(({ packet }) => packet);
      const durations = packets.map(durationOf);
      let end = known.get(low);
      let kept = 0;
      while (kept < packets.length && end < wanted + count) end += durations[kept++];
      return { data: await file(head.packet, serial, packets.slice(0, kept), durations), tail: end - wanted };
    },
  };
}

/** The head, and the byte at which the sound begins. */
async function beginningOf(bytes, signal) {
  for (let size = HEAD_BYTES; ; size *= 8) {
    const data = await bytes.read(0, size, signal);
    const serial = pageAt(data, 0)?.serial;
    const pages = pagesIn(data, serial).filter((page) => page.at + page.bytes <= data.length);
    const packets = packetsOf(data, pages);
    const sound = packets[1] && pages[packets[1].page + 1];
    if (packets[0] && !isHead(packets[0].packet)) throw new Unfit("no Opus");
    if (sound && pages.length > packets[1].page + 1) {
      const own = packets.filter(({ page }) => page === packets[1].page + 1).map(({ packet }) => durationOf(packet));
      const begins = sound.granule - own.reduce((sum, samples) => sum + samples, 0);
      if (begins !== 0 && pages.length > packets[1].page + 2) throw new Unfit("sound that does not begin at 0");
      return { head: headOf(packets[0].packet), serial, first: sound.at };
    }
    if (size >= bytes.size || size > MOST_TAG_BYTES) throw new Unfit("no sound");
  }
}

const isHead = (packet) => String.fromCharCode(...packet.subarray(0, 8)) === "OpusHead";

function headOf(packet) {
  const [channels, family] = [packet[9], packet[18]];
  if (family !== 0 || channels > 2) throw new Unfit("more than two channels");
  return { packet, channels, skip: packet[10] | (packet[11] << 8) };
}

/** The sample at which the file ends, with those that are skipped at its start. */
async function endOf(bytes, serial, signal) {
  const data = await bytes.read(Math.max(0, bytes.size - 2 * MOST_PAGE_BYTES), bytes.size, signal);
  const last = pagesIn(data, serial).at(-1);
  if (!last || last.at + last.bytes !== data.length || last.granule <= 0) throw new Unfit("another stream follows");
  return last.granule;
}

function neighbours(known, sample) {
  let [low, high] = [null, null];
  for (const [byte, granule] of known) {
    if (granule <= sample && (low === null || byte > low)) low = byte;
    if (granule > sample && (high === null || byte < high)) high = byte;
  }
  return [low, high ?? Math.max(...known.keys())];
}

/** Samples of a packet at 48 kHz (RFC 6716, 3.1). */
function durationOf(packet) {
  const config = packet[0] >> 3;
  const frame = config < 12 ? [480, 960, 1920, 2880][config & 3] : config < 16 ? [480, 960][config & 1] : [120, 240, 480, 960][config & 3];
  const code = packet[0] & 3;
  return frame * (code === 0 ? 1 : code < 3 ? 2 : packet[1] & 63);
}

/** An Ogg file of these packets, from which nothing is skipped. */
async function file(head, serial, packets, durations) {
  const writer = new OggWriter(serial);
  const begins = head.slice();
  begins[10] = begins[11] = 0;
  writer.page([begins], 0, { first: true });
  writer.page([new TextEncoder().encode("OpusTags\0\0\0\0\0\0\0\0")], 0);
  let page = [], segments = 0, granule = 0;
  packets.forEach((packet, index) => {
    const own = lacingOf(packet).length;
    if (segments + own > 255) {
      writer.page(page, granule);
      [page, segments] = [[], 0];
    }
    page.push(packet);
    segments += own;
    granule += durations[index];
  });
  writer.page(page, granule, { last: true });
  return new Blob(writer.pages).arrayBuffer();
}
