// A zip of stored files, as a Blob that refers to them: pictures are not copied into memory.
const CRCS = Uint32Array.from({length: 256}, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
  return byte;
});
const LIMIT = 2 ** 32 - 1;  // of the format without its extension for more

function crcOf(bytes) {
  let crc = ~0;
  for (const byte of bytes) crc = CRCS[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

// Numbers as little-endian bytes: [[number, width], ...].
function packed(...fields) {
  const bytes = new Uint8Array(fields.reduce((sum, [, width]) => sum + width, 0));
  let at = 0;
  for (const [number, width] of fields)
    for (let place = 0; place < width; place++) bytes[at++] = Math.floor(number / 256 ** place) & 255;
  return bytes;
}

// files: [[path, Blob], ...]. Every date is 1980-01-01, so that the same files give the same bytes.
export async function zip(files) {
  if (files.length > 65535) throw new Error(`a zip holds 65535 files; these are ${files.length}`);
  const parts = [], directory = [];
  let offset = 0;
  for (const [path, blob] of files) {
    const name = new TextEncoder().encode(path), crc = crcOf(new Uint8Array(await blob.arrayBuffer()));
    // version 2.0, names in UTF-8, stored, time, date, checksum, sizes, length of the name, nothing extra
    const fields = [[20, 2], [0x800, 2], [0, 2], [0, 2], [33, 2], [crc, 4], [blob.size, 4], [blob.size, 4],
      [name.length, 2], [0, 2]];
    const header = packed([0x04034b50, 4], ...fields);
    directory.push(packed([0x02014b50, 4], [20, 2], ...fields, [0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]), name);
    parts.push(header, name, blob);
    offset += header.length + name.length + blob.size;
    if (offset > LIMIT) throw new Error("the zip would exceed 4 GB: save without the pictures");
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = packed([0x06054b50, 4], [0, 4], [files.length, 2], [files.length, 2], [size, 4], [offset, 4], [0, 2]);
  return new Blob([...parts, ...directory, end], {type: "application/zip"});
}
