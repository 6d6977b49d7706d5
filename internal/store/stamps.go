package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A stamp is a time by Redis's clock, kept in a queue under a name: what attempts made that began then or before no longer
// answers the calls that look at stamps of this name.

// TagStamp names the stamp of a tag of a namespace's calls.
func TagStamp(namespace, tag string) string { return "t:" + namespace + " " + tag }

// FuncStamp names the stamp of all calls of a function in a namespace.
func FuncStamp(namespace, function string) string { return "f:" + namespace + " " + function }

// NamespaceStamp names the stamp of all calls of a namespace.
func NamespaceStamp(namespace string) string { return "n:" + namespace }

// Stamps names those that count for a call of a function with these tags.
func Stamps(namespace, function string, tags []string) []string {
	names := []string{NamespaceStamp(namespace), FuncStamp(namespace, function)}
	for _, tag := range tags {
		names = append(names, TagStamp(namespace, tag))
	}
	return names
}

// floorStamp names the stamp that stands for all that were dropped. It counts for every call.
const floorStamp = "floor"

func stampsKey(queue string) string { return prefix(queue) + "stamps" }

// Invalidate sets stamps of a queue to now.
func (s *Store) Invalidate(ctx context.Context, queue string, names []string) error {
	args := make([]any, len(names))
	for i, name := range names {
		args[i] = name
	}
	if err := s.onQueue(ctx, invalidateScript(), queue, args...).Err(); err != nil {
		return fmt.Errorf("invalidate in queue %s: %w", queue, foreign(err, queue))
	}
	return nil
}

// Stamp returns the newest of some stamps of a queue, and the zero time if there is none, also for no names.
func (s *Store) Stamp(ctx context.Context, queue string, names []string) (time.Time, error) {
	if len(names) == 0 {
		return time.Time{}, nil
	}
	scores, err := s.rdb.ZMScore(ctx, stampsKey(queue), append([]string{floorStamp}, names...)...).Result()
	if err != nil && !isNil(err) {
		return time.Time{}, fmt.Errorf("read stamps of queue %s: %w", queue, foreign(err, queue))
	}
	newest := int64(0)
	for _, score := range scores {
		newest = max(newest, int64(score))
	}
	return stampTime(newest), nil
}

func stampTime(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// withStamps adds to the terms of a submission which stamps count, and how long what is made is kept.
func (c Submission) withStamps(terms string) string {
	if len(c.Stamps) == 0 {
		return terms
	}
	return terms + "#" + strconv.FormatInt(c.Policy.TTL.Milliseconds(), 10) + "," + strings.Join(c.Stamps, ",")
}

// DroppedStamp is the name of the stamp that a message on a [DropsChannel] is about; false if it is about a task.
func DroppedStamp(message string) (name string, ok bool) { return strings.CutPrefix(message, "#") }
