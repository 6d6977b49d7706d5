// Package storetest looks into records and changes them behind everybody's back, for tests.
package storetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/store"
)

// Unpacked returns the fields of a record with the words of its packed fields as fields of their own, those that are there.
// The token of an attempt that has ended is last_token.
func Unpacked(record map[string]string) map[string]string {
	all := maps.Clone(record)
	for field, names := range store.PackedWords() {
		packed, ok := record[field]
		if !ok {
			continue
		}
		delete(all, field)
		for i, word := range strings.SplitN(packed, ",", len(names)) {
			if word != "" {
				all[names[i]] = word
			}
		}
	}
	if token, ok := all["token"]; ok && all["status"] != "processing" {
		all["last_token"] = token
		delete(all, "token")
	}
	return all
}

// Read returns the record at a key, unpacked.
func Read(ctx context.Context, rdb redis.Cmdable, key string) (map[string]string, error) {
	record, err := rdb.HGetAll(ctx, key).Result()
	return Unpacked(record), err
}

// Set writes fields, or words of packed ones, into the record at a key: name, value, ... An empty word is none.
func Set(ctx context.Context, rdb redis.Cmdable, key string, pairs ...any) error {
	record, err := rdb.HGetAll(ctx, key).Result()
	if err != nil {
		return err
	}
	write := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		name, value := pairs[i].(string), fmt.Sprint(pairs[i+1])
		field, place, n := find(name)
		if field == name {
			write[name] = value
			continue
		}
		packed, ok := write[field]
		if !ok {
			packed = record[field]
		}
		words := append(strings.SplitN(packed, ",", n), make([]string, n)...)[:n]
		words[place] = value
		write[field] = strings.Join(words, ",")
	}
	return rdb.HSet(ctx, key, write).Err()
}

// Remove takes a field, or a word of a packed one, out of the record at a key.
func Remove(ctx context.Context, rdb redis.Cmdable, key, name string) error {
	if field, _, _ := find(name); field != name {
		return Set(ctx, rdb, key, name, "")
	}
	return rdb.HDel(ctx, key, name).Err()
}

// find tells in which field something stands: in one of its own, or as one of n words of another.
func find(name string) (field string, place, n int) {
	for field, names := range store.PackedWords() {
		if i := slices.Index(names, name); i >= 0 {
			return field, i, len(names)
		}
	}
	return name, 0, 1
}
