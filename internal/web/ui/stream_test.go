package ui

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/web/live"
)

func TestNoPageIsUpdatedMoreThanFiveTimesASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hasty := live.NewShared(func(ctx context.Context, _ int, _ <-chan struct{}, tell func(int)) {
			for n := 0; ctx.Err() == nil; n++ {
				tell(n)
				time.Sleep(time.Millisecond)
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second-time.Millisecond)
		defer cancel()
		w := httptest.NewRecorder()
		stream(w, httptest.NewRequestWithContext(ctx, "GET", "/live", nil), hasty.Watch(1))
		require.Equal(t, 50, strings.Count(w.Body.String(), "event: changed\n"))
	})
}
