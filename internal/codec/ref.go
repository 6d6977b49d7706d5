package codec

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/refq/refq/refcache"
)

// NewRef returns the ref_id of a call: the queue, and the first 128 bits of the SHA-256 of namespace, function,
// version and arguments, each preceded by its length in bytes. The arguments must be in the form that [Canonical]
// gives them, names and version with their defaults filled in. The ref_id of a call never changes between releases.
func NewRef(namespace, queue, function string, version int, args []byte) refcache.Ref {
	head := make([]byte, 0, 128)
	head = appendPart(head, namespace)
	head = appendPart(head, function)
	head = appendPart(head, strconv.Itoa(version))
	head = append(strconv.AppendInt(head, int64(len(args)), 10), ':')

	hash := sha256.New()
	hash.Write(head)
	hash.Write(args)
	sum := hash.Sum(head[:0])
	return refcache.Ref(queue + ":" + hex.EncodeToString(sum[:16]))
}

// appendPart appends a part with its length, so that no two lists of parts look alike.
func appendPart(dst []byte, part string) []byte {
	dst = append(strconv.AppendInt(dst, int64(len(part)), 10), ':')
	return append(dst, part...)
}
