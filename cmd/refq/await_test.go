package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/refqtest"
)

func TestWhoIsInterruptedBeforeTheFirstLookAnswersWhatIsKnown(t *testing.T) {
	p := producer.New(refqtest.NewRedis(t), producer.Config{})
	defer p.Close()
	f := refcache.Func[int, int]{Name: "f", AsyncTimeout: -1}
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()

	ref, err := producer.Submit(t.Context(), p, f, 1)
	require.NoError(t, err)
	known := response{RefID: ref, Status: refcache.Processing}
	a := newApp(strings.NewReader(""), io.Discard, io.Discard, func(string) (string, bool) { return "", false })
	answer, err := a.await(interrupted, p, known, time.Minute)
	require.NoError(t, err)
	require.Equal(t, known, answer)
}
