package store

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

const (
	compressFrom = 1 << 10  // results up to here are stored as they are
	maxResult    = 64 << 20 // no result is larger, so nothing larger is unpacked
	zstdEncoding = "zstd"
)

// compressor packs results. Each Store has its own: zstd's lazily made channels must not be shared between the
// bubbles of testing/synctest.
type compressor struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCompressor() compressor {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // only wrong options do this
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxResult))
	if err != nil {
		panic(err)
	}
	return compressor{enc, dec}
}

// pack returns the form in which a result is stored, and the name of its encoding.
func (c compressor) pack(result []byte) ([]byte, string) {
	if len(result) <= compressFrom {
		return result, ""
	}
	if packed := c.enc.EncodeAll(result, nil); len(packed) < len(result) {
		return packed, zstdEncoding
	}
	return result, ""
}

func (c compressor) unpack(stored []byte, encoding string) ([]byte, error) {
	switch encoding {
	case "":
		return stored, nil
	case zstdEncoding:
		result, err := c.dec.DecodeAll(stored, nil)
		if err != nil {
			return nil, fmt.Errorf("unpack result: %w", err)
		}
		return result, nil
	}
	return nil, fmt.Errorf("unpack result: unknown encoding %.40q", encoding)
}
