package store

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/refcache"
)

// ErrDamaged is what those errors refcache.ErrUnreadable are that are about damaged records: nothing is done with such a record but to delete it.
var ErrDamaged = errors.New("damaged record")

// errNoHash is said in the same words by the scripts.
var errNoHash = errors.New("its key holds no hash")

// unreadable is an error about a record.
type unreadable struct {
	error
	damaged bool
}

func (e unreadable) Unwrap() error { return e.error }
func (e unreadable) Is(target error) bool {
	return target == refcache.ErrUnreadable || target == ErrDamaged && e.damaged
}

func newer(ref refcache.Ref, version int) error {
	return unreadable{fmt.Errorf("record of %s has version %d: written by a newer refq, update this one", ref, version), false}
}

func damaged(ref refcache.Ref, cause error) error {
	return unreadable{fmt.Errorf("record of %s is damaged: %w; refq delete %s removes it", ref, cause, ref), true}
}

// newerIn gives the version of a record of which a script knows no more than that it is newer.
func newerIn(err error) (version int, found bool) {
	var refusal redis.Error
	if !errors.As(err, &refusal) || !redis.HasErrorPrefix(refusal, "NEWER ") {
		return 0, false
	}
	_, text, _ := strings.Cut(refusal.Error(), "NEWER ")
	version, err = strconv.Atoi(text)
	return version, err == nil
}

// damageIn gives the cause when a script refused because of a damaged record.
func damageIn(err error) (cause error, found bool) {
	var refusal redis.Error
	if !errors.As(err, &refusal) || !redis.HasErrorPrefix(refusal, "DAMAGED ") {
		return nil, false
	}
	_, text, found := strings.Cut(refusal.Error(), "DAMAGED ")
	return errors.New(text), found
}
