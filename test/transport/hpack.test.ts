// HPACK against RFC 7541: its own examples (appendix C), every rule that a decoder must refuse to bend, and our encoder
// read back by our decoder.
import assert from "node:assert/strict";
import { test } from "node:test";
import { HpackDecoder } from "../../server/transport/hpack-decoder.ts";
import { HpackEncoder } from "../../server/transport/hpack-encoder.ts";
import { huffmanCodes, huffmanDecode, huffmanDecodedBytesMax } from "../../server/transport/hpack-huffman.ts";
import { errorCode, frameType } from "../../server/transport/http2-constants.ts";
import { ConnectionError } from "../../server/transport/http2-error.ts";
import { OutputBuffer, SlabPool } from "../../server/transport/output-buffer.ts";
import { type Headers, hpackInteger, hpackLiteral, hpackString, huffmanEncode, parseFrames } from "./support/wire.ts";

const hex = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ""), "hex");

function decodeWith(decoder: HpackDecoder, block: Buffer): [string, string][] {
  return decoder.decode(block, 0, block.length).fields.map(({ name, value }) => [name, value]);
}

function assertRefused(decoder: HpackDecoder, block: Buffer): void {
  assert.throws(
    () => decoder.decode(block, 0, block.length),
    (error) => error instanceof ConnectionError && error.code === errorCode.compressionError,
  );
}

const request1: Headers = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "www.example.com"],
];
const request2: Headers = [...request1, ["cache-control", "no-cache"]];
const request3: Headers = [
  [":method", "GET"],
  [":scheme", "https"],
  [":path", "/index.html"],
  [":authority", "www.example.com"],
  ["custom-key", "custom-value"],
];
const response1: Headers = [
  [":status", "302"],
  ["cache-control", "private"],
  ["date", "Mon, 21 Oct 2013 20:13:21 GMT"],
  ["location", "https://www.example.com"],
];
const response2: Headers = [[":status", "307"], ...response1.slice(1)];
const response3: Headers = [
  [":status", "200"],
  ["cache-control", "private"],
  ["date", "Mon, 21 Oct 2013 20:13:22 GMT"],
  ["location", "https://www.example.com"],
  ["content-encoding", "gzip"],
  ["set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"],
];

// Appendix C: a name, the table's size limit, and blocks with the headers and the table size after each.
const examples: readonly (readonly [string, number, readonly (readonly [string, Headers, number])[]])[] = [
  [
    "C.2 the four representations",
    4096,
    [
      ["400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", [["custom-key", "custom-header"]], 55],
      ["040c 2f73 616d 706c 652f 7061 7468", [[":path", "/sample/path"]], 55],
      ["1008 7061 7373 776f 7264 0673 6563 7265 74", [["password", "secret"]], 55],
      ["82", [[":method", "GET"]], 55],
    ],
  ],
  [
    "C.3 requests without Huffman",
    4096,
    [
      ["8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", request1, 57],
      ["8286 84be 5808 6e6f 2d63 6163 6865", request2, 110],
      ["8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", request3, 164],
    ],
  ],
  [
    "C.4 requests with Huffman",
    4096,
    [
      ["8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", request1, 57],
      ["8286 84be 5886 a8eb 1064 9cbf", request2, 110],
      ["8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", request3, 164],
    ],
  ],
  [
    "C.5 responses without Huffman, with evictions",
    256,
    [
      [
        `4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32
         3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`,
        response1,
        222,
      ],
      ["4803 3330 37c1 c0bf", response2, 222],
      [
        `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970
         7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61
         6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31`,
        response3,
        215,
      ],
    ],
  ],
  [
    "C.6 responses with Huffman, with evictions",
    256,
    [
      [
        `4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad
         1718 63c7 8f0b 97c8 e9ae 82ae 43d3`,
        response1,
        222,
      ],
      ["4883 640e ffc1 c0bf", response2, 222],
      [
        `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2
         e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07`,
        response3,
        215,
      ],
    ],
  ],
];

for (const [name, tableBytes, steps] of examples) {
  test(`hpack: appendix ${name}`, () => {
    const decoder = new HpackDecoder(1 << 20, tableBytes);
    for (const [block, headers, sizeAfter] of steps) {
      assert.deepEqual(decodeWith(decoder, hex(block)), headers);
      assert.equal(decoder.tableBytes, sizeAfter);
    }
  });
}

test("hpack: every symbol survives its Huffman code, alone and in company", () => {
  const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  for (const bytes of [all, Buffer.from(all).reverse(), ...Array.from(all, (byte) => Buffer.from([byte]))]) {
    const encoded = huffmanEncode(bytes);
    const target = Buffer.alloc(huffmanDecodedBytesMax(encoded.length));
    assert.equal(huffmanDecode(encoded, 0, encoded.length, target), bytes.length);
    assert.deepEqual(target.subarray(0, bytes.length), bytes);
  }
});

test("hpack: Huffman padding that is long, or not all ones, and the end-of-string symbol are refused", () => {
  const target = Buffer.alloc(64);
  const refused = (...bytes: number[]): void => {
    assert.equal(huffmanDecode(Buffer.from(bytes), 0, bytes.length, target), -1);
  };
  // "a" is 00011: three bits of padding follow in its octet.
  assert.equal(huffmanDecode(Buffer.from([0b00011_111]), 0, 1, target), 1);
  refused(0b00011_110);
  refused(0b00011_111, 0xff);
  refused(0xff);
  refused(0xff, 0xff, 0xff, 0xff);
  assert.equal(huffmanCodes()[256]!.code, 0x3fff_ffff);
});

test("hpack: indexes of nothing, truncations and late size updates are refused", () => {
  const fresh = (): HpackDecoder => new HpackDecoder(1 << 20, 4096);
  assertRefused(fresh(), hex("80"));
  assertRefused(fresh(), hex("be"));
  assertRefused(fresh(), Buffer.from([0x40]));
  assertRefused(fresh(), hex("400a 6375"));
  assertRefused(fresh(), Buffer.concat([Buffer.from([0x7e]), hpackString("x")]));
  assertRefused(fresh(), Buffer.from([0xff, 0x80]));
  assertRefused(fresh(), Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]));
  // Size updates: only in front, at most two, never above the limit.
  assertRefused(fresh(), Buffer.concat([hex("82"), hpackInteger(0x20, 5, 100)]));
  assertRefused(fresh(), hpackInteger(0x20, 5, 4097));
  assertRefused(fresh(), Buffer.concat([0, 10, 20].map((size) => hpackInteger(0x20, 5, size))));
  const block = Buffer.concat([hpackInteger(0x20, 5, 0), hpackInteger(0x20, 5, 4096), hex("82")]);
  assert.deepEqual(decodeWith(fresh(), block), [[":method", "GET"]]);
});

test("hpack: a smaller table evicts, a field larger than the table empties it", () => {
  const decoder = new HpackDecoder(1 << 20, 4096);
  const fill = Buffer.concat(Array.from({ length: 40 }, (_, i) => hpackLiteral(`name-${i}`, "value", "incremental")));
  decoder.decode(fill, 0, fill.length);
  assert(decoder.tableBytes > 1500);
  decodeWith(decoder, hpackInteger(0x20, 5, 200));
  assert(decoder.tableBytes <= 200);
  // The newest entry is still there under the first dynamic index.
  assert.deepEqual(decodeWith(decoder, hpackInteger(0x80, 7, 62)), [["name-39", "value"]]);
  decodeWith(decoder, hpackLiteral("huge", "x".repeat(300), "incremental"));
  assert.equal(decoder.tableBytes, 0);
});

test("hpack: a list above the limit is cut, and the tables stay in step", () => {
  const decoder = new HpackDecoder(1000, 4096);
  const filler = hpackLiteral("big", "x".repeat(400));
  const block = Buffer.concat([filler, filler, filler, hpackLiteral("kept", "yes", "incremental")]);
  const decoded = decoder.decode(block, 0, block.length);
  assert.equal(decoded.isTooLarge, true);
  assert.equal(decoded.fields.length, 2);
  assert.deepEqual(decodeWith(decoder, hpackInteger(0x80, 7, 62)), [["kept", "yes"]]);
});

/** What an encoder wrote, as a client would read it. */
function readBack(output: OutputBuffer, decoder: HpackDecoder): [string, string][][] {
  const pieces: Uint8Array[] = [];
  output.flush((written) => {
    pieces.push(...written);
    return false;
  });
  const blocks: Buffer[] = [];
  for (const { type, flags, payload } of parseFrames(Buffer.concat(pieces)).frames) {
    if (type === frameType.headers) blocks.push(payload);
    else blocks.push(Buffer.concat([blocks.pop()!, payload]));
    assert(payload.length <= 16_384, `a frame of ${payload.length} bytes, flags ${flags}`);
  }
  return blocks.map((block) => decodeWith(decoder, block));
}

test("hpack: our responses read as they were meant, whatever table the client allows", () => {
  const headers: [string, string][] = [
    [":status", "200"],
    ["content-type", "application/grpc"],
  ];
  const trailers: [string, string][] = [["grpc-status", "0"]];
  for (const tableSizes of [[], [0], [0, 4096], [103], [104], [200, 50, 8000], [65_536]]) {
    const output = new OutputBuffer(new SlabPool());
    const encoder = new HpackEncoder(output);
    const decoder = new HpackDecoder(1 << 20, 4096);
    const round = (): void => {
      encoder.writeGrpcHeaders(1);
      encoder.writeGrpcOk(1);
      encoder.write(
        3,
        200,
        [
          ["content-type", "application/grpc"],
          ["grpc-status", "5"],
        ],
        true,
      );
      encoder.writeGrpcOk(5);
      assert.deepEqual(readBack(output, decoder), [headers, trailers, [...headers, ["grpc-status", "5"]], trailers]);
    };
    round();
    for (const size of tableSizes) encoder.onTableSize(size);
    round();
    round();
  }
});

test("hpack: a changed table size is acknowledged in the next block, the smallest size first", () => {
  for (const [sizes, expected] of [
    [[0], [0x20]],
    [[100], [0x3f, 69]],
    [
      [200, 50, 8000],
      [0x3f, 19, 0x3f, 0xe1, 0x1f],
    ],
    [
      [50, 50],
      [0x3f, 19],
    ],
    [[8000], []],
  ] as const) {
    const output = new OutputBuffer(new SlabPool());
    const encoder = new HpackEncoder(output);
    for (const size of sizes) encoder.onTableSize(size);
    encoder.writeGrpcOk(1);
    encoder.writeGrpcOk(3);
    const pieces: Uint8Array[] = [];
    output.flush((written) => {
      pieces.push(...written);
      return false;
    });
    const [first, second] = parseFrames(Buffer.concat(pieces)).frames;
    assert.deepEqual([...first!.payload.subarray(0, expected.length)], expected);
    assert.notEqual(first!.payload[expected.length]! & 0xe0, 0x20);
    assert.notEqual(second!.payload[0]! & 0xe0, 0x20);
  }
});

test("hpack: a response's header list that needs several frames arrives whole", () => {
  const output = new OutputBuffer(new SlabPool());
  const encoder = new HpackEncoder(output);
  const fields = Array.from({ length: 50 }, (_, i) => [`x-field-${i}`, "v".repeat(1000)] as const);
  encoder.write(1, 404, fields, true);
  assert.deepEqual(readBack(output, new HpackDecoder(1 << 20, 4096)), [[[":status", "404"], ...fields]]);
});
