package config

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/refq/refq/refcache"
)

// key is one name that may stand in config.yaml with a single value, for a T.
type key[T any] struct {
	name string
	want string                // completes "must be …"
	set  func(*T, string) bool // false: the text is not what is wanted
}

// apply sets the key; as is what the error calls it: config.yaml, flags and environment have names of their own.
func (k key[T]) apply(t *T, as, text string) error {
	if !k.set(t, text) {
		return fmt.Errorf("%s is %s, must be %s", as, shown(text), k.want)
	}
	return nil
}

// shown prepares a value for an error: numbers as they are, texts in quotes and cut.
func shown(text string) string {
	const most = 80
	if _, err := strconv.ParseFloat(text, 64); err == nil && len(text) <= most {
		return text
	}
	return strconv.Quote(cut(text, most))
}

// plain prepares a name, which needs quotes only if it is none.
func plain(name string) string {
	if refcache.CheckName(name) == nil {
		return name
	}
	return shown(name)
}

func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

const wantDuration = "a duration like 1.5s, 5m or 168h, or a number of seconds"

// ParseDuration reads a duration as it is written in config.yaml, flags and environment: a Go duration ("1.5s", "168h")
// or a number of seconds ("1.5", "30"). Negative durations, and those that do not fit, are refused; the error shows
// the text and what to write instead.
func ParseDuration(s string) (time.Duration, error) {
	text := s
	if strings.Trim(s, "0123456789.") == "" {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	vanished := d == 0 && strings.ContainsAny(s, "123456789") // less than 1 ns; 0 would mean none
	if err != nil || d < 0 || vanished {
		return 0, errors.New(shown(s) + " is not " + wantDuration)
	}
	return d, nil
}

// none is what a duration or number of 0 becomes: in Go structs, zero is the default and negative is none.
const none = -1

func setDuration(to *time.Duration, text string) bool {
	d, err := ParseDuration(text)
	*to = cmp.Or(d, none)
	return err == nil
}

func setWhole(to *int, text string, least int) bool {
	n, err := strconv.Atoi(text)
	*to = n
	return err == nil && n >= least
}

func setNumber(to *float64, text string, least, most float64) bool {
	v, err := strconv.ParseFloat(text, 64)
	*to = v
	return err == nil && v >= least && v <= most // neither holds for NaN
}

func setBool(to *bool, text string) bool {
	*to = text == "true"
	return text == "true" || text == "false"
}

const wantSize = "a number of bytes like 65536, 512KiB or 8MiB, at most "

func setSize(to *int, text string, most int) bool {
	digits, unit := text, 1
	for suffix, bytes := range map[string]int{"KiB": 1 << 10, "MiB": 1 << 20} {
		if before, found := strings.CutSuffix(text, suffix); found {
			digits, unit = before, bytes
		}
	}
	n, err := strconv.Atoi(digits)
	*to = n * unit
	return err == nil && n >= 1 && n <= most/unit
}

func showSize(n int) string {
	switch {
	case n%(1<<20) == 0:
		return strconv.Itoa(n>>20) + "MiB"
	case n%(1<<10) == 0:
		return strconv.Itoa(n>>10) + "KiB"
	default:
		return strconv.Itoa(n)
	}
}

const largest = math.MaxFloat64 // every finite number is at most this
