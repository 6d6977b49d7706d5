package admin_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/admin"
)

func TestAnAdminThatNewDidNotMakeIsRefused(t *testing.T) {
	for name, a := range map[string]*admin.Admin{"nil": nil, "zero": {}} {
		for what, use := range map[string]func() error{
			"Health": func() error { _, err := a.Health(t.Context()); return err },
			"Sizes":  func() error { _, err := a.Sizes(t.Context()); return err },
			"Stats":  func() error { _, err := a.Stats(t.Context()); return err },
			"Task":   func() error { _, err := a.Task(t.Context(), unknown); return err },
			"Page":   func() error { _, err := a.Page(t.Context(), admin.Filter{}, "", 1); return err },
			"Retry":  func() error { _, err := a.Retry(t.Context(), unknown); return err },
			"Cancel": func() error { return a.Cancel(t.Context(), unknown) },
			"Delete": func() error { return a.Delete(t.Context(), unknown) },
			"Close":  func() error { return a.Close() },
			"List": func() (err error) {
				for _, err = range a.List(t.Context(), admin.Filter{}) {
				}
				return err
			},
			"RetryAll": func() (err error) {
				for _, err = range a.RetryAll(t.Context(), admin.Filter{}) {
				}
				return err
			},
		} {
			require.ErrorContains(t, use(), "the admin is not made by admin.New", "%s of %s", what, name)
		}
	}
	require.PanicsWithValue(t, "admin.New: the Redis client is nil", func() { admin.New(nil, admin.Config{}) })
}
